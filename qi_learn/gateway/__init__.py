"""The proxy in front of Ollama: `python -m qi_learn.gateway`. Bodies pass byte for byte; a copy
goes to the spool.

A recorder that fails never breaks traffic.

Called by nothing imports it: the daemon starts it by name.
May import the vocabulary and outside, rundir, workspace.
Never touches the database, or waits for anything that is not the request's own.
"""
