"""Files that a shell's script writes, as far as it is certain, and no further."""

from __future__ import annotations

import pytest

from tests.edits.answers import Plain, of_call

HI: list[Plain] = [("a.py", None, "x = 1\n")]


@pytest.mark.parametrize(
    ("script", "edits"),
    [
        ("cat > a.py <<'EOF'\nx = 1\nEOF", HI),
        ("cat <<'EOF' > a.py\nx = 1\nEOF\npython a.py", HI),
        ("cat >> a.py << EOF\nx = 1\nEOF", HI),
        ('cat > "a.py" <<-"END"\n\tx = 1\n\tEND\n', HI),
        ("tee a.py <<'EOF' > /dev/null\nx = 1\nEOF", HI),
        ("cd src && cat > a.py <<'EOF'\nx = 1\nEOF", [("src/a.py", None, "x = 1\n")]),
        ("cd src\nmkdir -p lib && cat > lib/a.py <<'E'\nx\nE", [("src/lib/a.py", None, "x\n")]),
        (
            "cat > a.py <<'EOF'\nx = 1\nEOF\ncat > b.py <<'EOF'\ny = 1\nEOF\n",
            [*HI, ("b.py", None, "y = 1\n")],
        ),
        ("sed -i 's/old_name/new_name/g' a.py", [("a.py", "old_name", "new_name")]),
        ("sed -i '' -e 's|a/b|c/d|' a.py", [("a.py", "a/b", "c/d")]),
        ('sed -i.bak "s/x = 1/x = 2/" a.py', [("a.py", "x = 1", "x = 2")]),
        ("cat > a.sh <<'EOF'\ncat > b <<'E'\nx\nE\nEOF", [("a.sh", None, "cat > b <<'E'\nx\nE\n")]),
    ],
)
def test_a_script_that_writes_files(script: str, edits: list[Plain]) -> None:
    assert of_call("bash", {"command": script}) == edits
    assert of_call("exec_command", {"cmd": script}) == edits
    assert of_call("shell", {"command": ["bash", "-lc", script]}) == edits


@pytest.mark.parametrize(
    "script",
    [
        "cat > a.py <<EOF\nx = $HOME\nEOF",
        "cat > a.py <<EOF\nx = `date`\nEOF",
        "cat > $FILE <<'EOF'\nx = 1\nEOF",
        "cat > *.py <<'EOF'\nx = 1\nEOF",
        "if true; then\ncat > a.py <<'EOF'\nx = 1\nEOF\nfi",
        "for f in a b; do\ncat > a.py <<'EOF'\nx\nEOF\ndone",
        "false || cat > a.py <<'EOF'\nx = 1\nEOF",
        "cat > a.py <<'EOF'\nx = 1\n",
        "python - <<'EOF'\nopen('a.py', 'w').write('x')\nEOF",
        "cat <<'EOF' | python\nprint(1)\nEOF",
        "sed -i 's/x.*y/z/' a.py",
        "sed -i 's/x/&&/' a.py",
        "sed 's/x/y/' a.py",
        "sed -i '3d' a.py",
        "echo x > a.py",
        "",
    ],
)
def test_a_script_of_which_it_is_not_certain_what_it_writes(script: str) -> None:
    assert of_call("bash", {"command": script}) == []


def test_a_cd_is_followed_and_the_call_s_own_directory_counts() -> None:
    script = "cat > a.py <<'EOF'\nx = 1\nEOF"
    assert of_call("shell", {"command": script, "workdir": "/w"}) == [("/w/a.py", None, "x = 1\n")]
