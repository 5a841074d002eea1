"""Step 2: what became of a suggestion.

It is found in a saved file, followed through edits and commits, settled. Every match carries how it
was made and how sure it is.

Every match carries how it was made and how sure it is.

Called by the daemon.
May import the vocabulary and outside, workspace.
Never knows the database, or takes silence for a sign: what is not known stays unknown.
"""
