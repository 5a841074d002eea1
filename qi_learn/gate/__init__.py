"""Step 8, the packed file against the live one, and a verdict with its reasons.

Between them: suites, measurements, generated code in a sandbox. The rules are pure: the same
measurements give the same verdict. They have the numbers of docs/internals/contracts.md 8.

Called by the cycle, the benchmark, the demonstration, `qi-learn doctor` (is there a sandbox?).
May import the vocabulary and outside, results.
Never touches the database, and never runs generated code outside a sandbox.
"""
