"""The world beyond this code: one external system a file, or a few files that share its name.

Its errors are translated here, so that nothing above has to know a library or a program by its
faults.

Called by every package.
May import nothing but the vocabulary.
Never touches the database, and never knows what a turn, a score or a version is.
"""
