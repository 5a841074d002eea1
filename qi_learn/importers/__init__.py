"""The logs of other programs, read into turns: one file a source, blind to its siblings.

Each reads what is new in a file behind a cursor, and nothing else: `files(path)` are those that a
path means, `read(file, after, ended=...)` the items in one of them, in the order of their cursors.
A line that is not whole yet waits; what cannot be understood is an item too, so that it is counted.

Called by `commands/import_.py`, which writes what they say to the spool.
May import the vocabulary and outside.
Never writes, knows the database, or decides what may be learned.
"""
