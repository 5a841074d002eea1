"""What people write after an answer, and what it says of that answer.

Written by hand after the kinds of messages that stand in public conversations and trackers. The
answer before each suggested `apply_discount` in `src/cart.py`. `ASIDE` was written before the rules
and not looked at while they were made.
"""

from __future__ import annotations

from typing import Literal

Says = Literal["worked", "failed"]
Labelled = tuple[tuple[str, Says | None], ...]

_TRACE = """Traceback (most recent call last):
  File "/home/me/shop/{file}", line 14, in {name}
    return total * rate
TypeError: unsupported operand type(s) for *: 'NoneType' and 'float'
"""
OWN_TRACE = _TRACE.format(file="src/cart.py", name="apply_discount")
OTHER_TRACE = _TRACE.format(file="tools/report.py", name="monthly_rows")
_RUST = """error[E0308]: mismatched types
  --> src/{file}:10:5
   |
10 |     total
"""

LOOKED_AT: Labelled = (
    ("That doesn't work.", "failed"),
    ("it still fails with the same error", "failed"),
    ("Nope, still broken", "failed"),
    ("No, that's wrong. The discount applies before tax.", "failed"),
    ("this is wrong, the total should be 90", "failed"),
    ("doesnt work", "failed"),
    ("Now I get a KeyError: 'rate'", "failed"),
    ("I'm still getting the error", "failed"),
    (OWN_TRACE, "failed"),
    ("I ran it and got\n\n```\n" + OWN_TRACE + "```", "failed"),
    ("your change broke the checkout page", "failed"),
    ("That's not what I asked for.", "failed"),
    ("thanks but it still throws", "failed"),
    ("Hmm, that didn't fix it.", "failed"),
    ("it crashes when the cart is empty", "failed"),
    ("The code you gave me does not compile.", "failed"),
    ("same error", "failed"),
    ("not working", "failed"),
    ("Thanks, that works!", "worked"),
    ("Works perfectly, thank you", "worked"),
    ("perfect", "worked"),
    ("Great! Now add a test for the empty cart.", "worked"),
    ("awesome, that fixed it", "worked"),
    ("It works now. Can you also update the README?", "worked"),
    ("Thanks. Next, do the same for shipping.", "worked"),
    ("all tests pass now, thx", "worked"),
    ("looks good to me, let's commit", "worked"),
    ("LGTM", "worked"),
    ("that did the trick", "worked"),
    ("nice, works like a charm", "worked"),
    ("Can you explain how it works?", None),
    ("Make sure it works with an empty cart as well.", None),
    ("What happens if that doesn't work on Windows?", None),
    ("Add type hints.", None),
    ("Now write the same in Rust.", None),
    ("Rename it to discounted_total please", None),
    ("no problem, go on", None),
    ("no need for the comments, drop them", None),
    (OTHER_TRACE, None),
    ("Another thing: the login page doesn't work. Where is it handled?", None),
    ("Why does it use a float here?", None),
    ("Write a function that raises an error when the rate is wrong.", None),
    ("Das funktioniert nicht.", None),
    ("no funciona", None),
    ("Ça marche, merci !", None),
    ("<environment_details>\n# Current Time\nIt still fails\n</environment_details>", None),
    ("Fix this test, it fails:\n\n```python\ndef test_rows():\n    assert rows() == []\n```", None),
    ("continue", None),
    ("yes", None),
    ("Thanks in advance! How would you store the rates?", None),
    ("Which version of Python does this need?", None),
    ("I wonder whether this works for negative totals", None),
    ("Could you make it faster? It works but takes 4 seconds.", "worked"),
    ("Actually, use Decimal instead.", None),
)
"""Those by which the rules were made."""

TURNED: Labelled = (
    ("thanks but no", None),
    ("Thanks, but no", None),
    ("Thanks, but that's not what I asked for.", "failed"),
    ("great, another bug", None),
    ("oh great, now it crashes", "failed"),
    ("Perfect, it deleted my file", None),
    ("works like crap", None),
    ("works like a charm", "worked"),
    ("It worked before your change", None),
    ("it worked yesterday", None),
    ("This worked in the old version", None),
    ("it works only on linux", None),
    ("no tests pass", None),
    ("None of the tests pass", None),
    ("not all tests pass", None),
    ("I don't think the tests pass", None),
    ("all tests pass but one", None),
    ("tests pass except two", None),
    ("fixed it myself", None),
    ("ok fixed it by hand", None),
    ("solved it by reverting your change", None),
    ("never mind, fixed it, it was my typo", None),
    ("it did it again", None),
    ("wrong window, ignore", None),
    ("wrong branch, sorry", None),
    ("still not sure I understand", None),
    ("I'm still off work today", None),
    ("I still get the feeling we can do better", None),
    ("still see the error", "failed"),
    ("my other script still fails, unrelated", None),
    ("it doesn't work, but that is by design", None),
    ("same result as expected, good", None),
    ("same issue in the other module", None),
    ("this is wrong in the docs too", None),
    ("this broke my build", "failed"),
    ("didn't run the tests yet", None),
    ("it doesn't run", "failed"),
    ("doesn't help to explain it, show the code", None),
    ("I got this error from a colleague", None),
    ("I see an error bar in the plot, remove it", None),
    ("not even worse", None),
    ("you misunderstood nothing, go on", None),
)
"""Words that turn the sense of others, or are about something else."""

ASIDE: Labelled = (
    ("It doesn't work, I get None back.", "failed"),
    ("still not working :(", "failed"),
    ("Wrong. 10% of 200 is 20, not 2.", "failed"),
    ("this code throws an exception on the second call", "failed"),
    ("No, you changed the wrong function", "failed"),
    ("I tried it and it fails with AttributeError", "failed"),
    ("That broke two tests", "failed"),
    ("that is not correct", "failed"),
    ("Unfortunately this does not solve the problem.", "failed"),
    ("now it's even worse", "failed"),
    (f"pytest says\n{OWN_TRACE}", "failed"),
    ("I still see the error in the console", "failed"),
    ("your solution doesn't handle None and crashes", "failed"),
    ("Didn't help", "failed"),
    ("it won't compile", "failed"),
    ("error: cannot find function `apply_discount` in this scope", "failed"),
    ("Nope. Same result.", "failed"),
    ("Thank you, but the total is still off by one cent", "failed"),
    ("That's wrong, sorry", "failed"),
    ("The tests are failing now", "failed"),
    ("Thank you so much, it works!", "worked"),
    ("that worked", "worked"),
    ("yep that fixes it, thanks", "worked"),
    ("Excellent. Please write the docstring too.", "worked"),
    ("Great, thanks!", "worked"),
    ("Perfect. Next: the invoice view", "worked"),
    ("Cool, tests are green", "worked"),
    ("Looks good. Commit it.", "worked"),
    ("works for me", "worked"),
    ("Thanks!", "worked"),
    ("Awesome", "worked"),
    ("Nice. Could you do that for refunds as well?", "worked"),
    ("Does this work with pandas 2?", None),
    ("Show me how that works with two items", None),
    ("If it doesn't work, roll back.", None),
    ("Please add logging", None),
    ("The README is wrong about the install step, can you mend it?", None),
    ("What does this error mean: ECONNREFUSED?", None),
    ("add a check that fails when the rate is above 1", None),
    ("Use a dataclass instead", None),
    ("No, keep the old name", None),
    ("no tests please", None),
    ("Let's do the same for the wishlist", None),
    ("Now handle the error cases", None),
    (f"And this one?\n{OTHER_TRACE}", None),
    (_RUST.format(file="lexer.rs"), None),
    ("funktioniert super, danke", None),
    ("これは動きません", None),
    ("It should work offline too", None),
    ("I want a great landing page", None),
    ("why would that be wrong?", None),
    ("undo the last change", None),
    ("What's the perfect batch size here?", None),
    ("The user reports that checkout does not work in Safari. Look into it.", None),
    ("ok", None),
    ("Write a commit message", None),
)
"""Those kept aside."""
