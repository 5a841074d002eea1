"""What tools say of their runs: counts, and what failed, one module a tool.

A text that is not the tool's is no report: nothing is guessed. What a report means for the code is
decided elsewhere.

Called by capture, gate.
May import the vocabulary alone.
Never runs anything, and reads no file.
"""
