"""The proxy in front of Ollama: `python -m qi_learn.gateway`.

Bodies pass byte for byte but for the name of a routed model, and a copy goes to the spool. A
recorder that fails never breaks traffic.

Called by the daemon, which starts it by module name; imported by nothing.
May import the vocabulary and outside, rundir, workspace, capture.
Never touches the database, and never waits for anything that is not the request's own, with one
exception: a learning cycle that has the only GPU, for `idle.longest_hold` at most (a minute unless
it is set).
"""
