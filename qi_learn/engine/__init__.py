"""llama.cpp behind Ollama's API, for machines without Ollama: `python -m qi_learn.engine`.

Models and manifests lie in Ollama's own layout, so that deploying has one code path.

Called by nothing imports it: the daemon starts it by name.
May import the vocabulary and outside.
Never listens anywhere but on loopback, or ends for a request.
"""
