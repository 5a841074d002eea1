"""Edits in an answer's text: marks, tags, patches, diffs, calls, fences that name a file."""

from __future__ import annotations

import pytest

from qi_learn.edits.dialects import edits_of
from tests.edits.answers import of_text, turn

AIDER = """I change `total`.

src/stats.py
```python
<<<<<<< SEARCH
    return sum(values)
=======
    return sum(values) / len(values)
>>>>>>> REPLACE
```

and use it:

src/main.py
```python
<<<<<<< SEARCH
=======
from stats import total
>>>>>>> REPLACE
```
"""
AIDER_EDITS = [
    ("src/stats.py", "    return sum(values)\n", "    return sum(values) / len(values)\n"),
    ("src/main.py", None, "from stats import total\n"),
]
HUNK = """@@ -10,7 +10,8 @@ def total(values):
 def total(values):
     count = len(values)
-    return sum(values)
+    if not count:
+        return 0
+    return sum(values) / count


@@ -40,3 +41,2 @@
 a
-b
 c
"""
HUNK_EDITS = [
    (
        "src/stats.py",
        "    return sum(values)\n",
        "    if not count:\n        return 0\n    return sum(values) / count\n",
    ),
    ("src/stats.py", "b\n", ""),
]
CLINE = """<thinking>The user wants it.</thinking>

<replace_in_file>
<path>src/app.ts</path>
<diff>
------- SEARCH
old();
=======
fresh();
+++++++ REPLACE
------- SEARCH
a();
=======
b();
+++++++ REPLACE
</diff>
</replace_in_file>"""


def test_aider_s_blocks_have_the_file_that_stands_above_them() -> None:
    assert of_text(AIDER) == AIDER_EDITS


@pytest.mark.parametrize(
    "head",
    [
        *("stats.py\n```python", "```python\nstats.py", "```python stats.py", "**stats.py**\n```"),
        *("### `stats.py`\n```python", "stats.py:\n\n```", "stats.py"),
        "stats.py\n<source>",
    ],
)
def test_models_name_the_file_of_a_block_in_many_ways(head: str) -> None:
    block = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n```\n"
    assert of_text(f"Here:\n\n{head}\n{block}") == [("stats.py", "a\n", "b\n")]


def test_a_block_without_a_name_is_for_the_file_before_it_or_for_none() -> None:
    block = "```\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n```\n"
    assert of_text(f"Then this one:\n{block}") == [(None, "a\n", "b\n")]
    named = f"x.py\n{block}And also:\n{block}"
    assert of_text(named) == [("x.py", "a\n", "b\n")] * 2


def test_a_block_that_was_cut_off_is_none() -> None:
    for at in range(len(AIDER.partition("\nand")[0]) - 5):
        assert len(of_text(AIDER[:at])) == 0


def test_cline_s_tags() -> None:
    assert of_text(CLINE) == [
        ("src/app.ts", "old();\n", "fresh();\n"),
        ("src/app.ts", "a();\n", "b();\n"),
    ]
    whole = "<write_to_file>\n<path>a.html</path>\n<content>\n<content>x</content>\n</content>\n"
    assert of_text(whole + "</write_to_file>") == [
        ("a.html", None, "<content>x</content>\n"),
    ]


def test_roo_s_tags() -> None:
    several = (
        "<apply_diff>\n<args>\n<file>\n<path>a.py</path>\n<diff>\n<content><![CDATA[\n"
        "<<<<<<< SEARCH\n:start_line:3\n:end_line:4\n-------\nx\n=======\ny\n>>>>>>> REPLACE\n"
        "]]></content>\n</diff>\n</file>\n<file>\n<path>b.py</path>\n<diff>\n<content>\n"
        "<<<<<<< SEARCH\np\n=======\nq\n>>>>>>> REPLACE\n</content>\n</diff>\n</file>\n</args>\n"
        "</apply_diff>"
    )
    assert of_text(several) == [("a.py", "x\n", "y\n"), ("b.py", "p\n", "q\n")]
    inserted = (
        "<insert_content>\n<path>a.ts</path>\n<line>1</line>\n<content>\nimport x;\n</content>\n"
        "</insert_content>"
    )
    assert of_text(inserted) == [("a.ts", None, "import x;\n")]
    search = (
        "<search_and_replace>\n<path>a.ts</path>\n<search>foo</search>\n<replace>bar</replace>\n"
        "</search_and_replace>"
    )
    assert of_text(search) == [("a.ts", "foo", "bar")]
    pattern = search.replace("</search_and", "<use_regex>true</use_regex>\n</search_and")
    assert of_text(pattern) == []


@pytest.mark.parametrize(
    "text",
    [
        f"Here:\n\n```diff\n--- a/src/stats.py\n+++ b/src/stats.py\n{HUNK}```\n",
        f"--- src/stats.py\n+++ src/stats.py\n{HUNK}\nThat is all.\n",
        f"```diff\ndiff --git a/src/stats.py b/src/stats.py\nindex 1..2 100644\n"
        f"--- a/src/stats.py\t2026-01-01\n+++ b/src/stats.py\t2026-01-02\n{HUNK}```",
    ],
    ids=["fenced", "bare", "git"],
)
def test_a_unified_diff_has_an_edit_for_each_hunk(text: str) -> None:
    assert of_text(text) == HUNK_EDITS


def test_a_diff_without_headers_names_no_file() -> None:
    assert of_text("```diff\n-a = 1\n+a = 2\n```") == [(None, "a = 1\n", "a = 2\n")]


def test_a_patch_in_the_text_is_read() -> None:
    text = "*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n*** End Patch"
    assert of_text(f"Sure:\n\n{text}\n") == [("a.py", "x\n", "y\n")]


def test_calls_that_stand_in_the_text() -> None:
    hermes = (
        '<tool_call>\n{"name": "write_file", "arguments": {"file_path": "/w/a.py", '
        '"content": "x = 1\\n"}}\n</tool_call>'
    )
    assert of_text(hermes) == [("/w/a.py", None, "x = 1\n")]
    qwen = (
        "<tool_call>\n<function=str_replace_editor>\n<parameter=command>\nstr_replace\n</parameter>"
        "\n<parameter=path>\n/w/a.py\n</parameter>\n<parameter=old_str>\nx = 1\n</parameter>\n"
        "<parameter=new_str>\nx = 1\ny = 2\n</parameter>\n</function>\n</tool_call>"
    )
    (edit,) = edits_of(turn(qwen))
    assert (edit.path, edit.old, edit.new) == ("/w/a.py", "x = 1", "x = 1\ny = 2")
    assert qwen[: edit.start].endswith("<parameter=new_str>\n")
    continued = (
        "```tool\nTOOL_NAME: create_new_file\nBEGIN_ARG: filepath\na.py\nEND_ARG\n"
        "BEGIN_ARG: contents\nx = 1\ny = 2\nEND_ARG\n```"
    )
    assert of_text(continued) == [("a.py", None, "x = 1\ny = 2")]


def test_zed_asks_for_the_texts_in_a_request_of_its_own() -> None:
    asked = "You edit.\n<file_to_edit>\nwork/src/main.rs\n</file_to_edit>\n<edit_description>"
    answer = (
        "<edits>\n<old_text line=3>\nlet a = 1;\n</old_text>\n<new_text>\nlet a = 2;\n</new_text>\n"
        "</edits>"
    )
    assert of_text(answer, asked) == [("work/src/main.rs", "let a = 1;\n", "let a = 2;\n")]


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ("```python src/a.py", "src/a.py"),
        ("```src/a.py", "src/a.py"),
        ("```python:src/a.py", "src/a.py"),
        ('```python title="src/a.py"', "src/a.py"),
        ("```py {filename=src/a.py}", "src/a.py"),
        ("src/a.py\n```python", "src/a.py"),
        ("**`src/a.py`**\n\n```python", "src/a.py"),
        ("File: src/a.py\n```", "src/a.py"),
        ("Makefile\n```make", "Makefile"),
        ("```python", None),
        ("```12:30:src/a.py", None),
        ("```python src/a.py (1-9)", None),
        ("Put it into src/a.py, please:\n```python", None),
        ("Use `values.sort()`\n```python", None),
        ("Version 1.2\n```python", None),
        ("See https://a.org/x.py\n```python", None),
    ],
)
def test_a_fence_names_a_file_or_not(head: str, path: str | None) -> None:
    expected = [] if path is None else [(path, None, "x = 1\n")]
    assert of_text(f"Here:\n\n{head}\nx = 1\n```\n") == expected


def test_no_text_is_part_of_two_edits() -> None:
    text = (
        "a.py\n```diff\n<<<<<<< SEARCH\n-x\n=======\n+y\n>>>>>>> REPLACE\n```\n"
        "<write_to_file>\n<path>b.md</path>\n<content>\nc.py\n```python\nz = 1\n```\n</content>\n"
        "</write_to_file>"
    )
    assert of_text(text) == [
        ("a.py", "-x\n", "+y\n"),
        ("b.md", None, "c.py\n```python\nz = 1\n```\n"),
    ]


def test_prose_about_a_format_edits_nothing() -> None:
    assert of_text("Write `<<<<<<< SEARCH`, then <write_to_file>, then `*** Begin Patch`.") == []
