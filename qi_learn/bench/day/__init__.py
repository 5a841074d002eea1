"""The benchmark of a working day: a history played as work, asked before it is learned.

Its files in the order of the story: `history`, `commits` and `releases` (what was written, in the
order of time), `forms` (how it is asked for), `play` (what became of an answer), `home` (the
product that is worked with), `reading` and `answering` (files and answers measured), `prequential`
(one run), `day_figures`, `day_tables`, `day_command`.

Called by `qi-learn bench day`.
May import, beyond what the other benchmarks may, what records, decides and learns: store, capture,
track, score, cycle, daemon.
Never touches a user's home, and no other benchmark imports it: their finished cells outlive it.
"""
