"""Step 1: what passed by, decoded: requests and answers of every dialect, and what a command's
end says.

What cannot be understood is kept as it came and said, never guessed.

Called by the daemon, and `qi-learn run`.
May import the vocabulary and outside, store.
Never judges what an answer was worth.
"""
