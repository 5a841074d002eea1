"""Step 1: what passed by, decoded.

Requests and answers of every dialect, and what the end of a command tells. What cannot be decoded
is kept as it came and reported, never guessed.

What cannot be decoded is kept as it came and reported, never guessed.

Called by the daemon, `qi-learn run`, and the cycle (which command runs tests?).
May import the vocabulary and outside, store, results.
Never judges what an answer was worth.
"""
