"""What an answer edits: which file, which text in it, and the text that is to stand there.

One module for each way in which clients let a model edit files: tools with arguments, markup in
the answer's text, patches, shells. And what the client said of each edit in its next request.

Called by track.
May import the vocabulary.
Never knows a file, a project or the database, or guesses: what is not certain is no edit.
"""
