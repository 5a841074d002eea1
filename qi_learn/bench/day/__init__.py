"""The benchmark of a working day: a history played as work, asked before it is learned.

Its files in the order of the story: `history`, `commits` and `releases` (what was written, in the
order of time), `forms` (how it is asked for), `play` (what became of an answer), `home` (the
product that is worked with), `reading` and `answering` (files and answers measured), `prequential`
(one run), `day_figures`, `day_tables`, `day_command`.
"""
