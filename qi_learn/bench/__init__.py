"""The learning benchmark: streams of tasks, methods side by side, measured on the packed file.

It measures only with what is never trained on.

Called by `qi-learn bench learning`, and the demonstration (for its functions).
May import the vocabulary and outside, rundir, the steps from dataset to deploy, train.
Never touches a user's home.
"""
