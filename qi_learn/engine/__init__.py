"""llama.cpp behind Ollama's API, for machines without Ollama: `python -m qi_learn.engine`.

Models and manifests lie in Ollama's own layout, so that deploying has one code path.

Called by the daemon, which starts it by module name; imported by nothing.
May import the vocabulary and outside.
Never listens anywhere but on loopback, and never ends because a request failed.
"""
