"""The learning benchmark: streams of tasks, methods side by side, measured on the packed file.

What is never trained on is what is measured.

Called by `qi-learn bench learning`, and the demonstration (for its functions).
May import the vocabulary and outside, rundir, the steps from dataset to deploy, train.
Never touches a user's home.
"""
