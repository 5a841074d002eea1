"""The world beyond this code: a file, or a few that share a name, for each external system.

Its errors are translated here, so that nothing above has to know a library or a program by its
faults.

Called by most packages.
May import nothing but the vocabulary.
Never touches the database, and never knows what a turn, a score or a version is.
"""
