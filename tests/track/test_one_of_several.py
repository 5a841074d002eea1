"""Of an answer with two functions one was taken: its text is that function, from end to end."""

from __future__ import annotations

import pytest

from qi_learn.track.match import Saved, find

CHOICE = """\
        if check is None:
            if self.context is not None:
                check = self.context.verify_mode
            else:
                check = resolved(None)
"""
CONNECTION = f"""\
class Connection:
    def __init__(self, check=None):
        self.host = 1
{CHOICE}        self.check = check

"""
SET_CHECK = f'''\
    def set_check(
        self,
        file: str | None = None,
        check: int | str | None = None,
    ) -> None:
        """Call it once."""
        warn("deprecated", category=DeprecationWarning, stacklevel=2)

        # Without a check a certificate is wanted.
{CHOICE}
        self.file = file
        self.check = check
        self.password = password
'''
CONNECT = """\
    def connect(self) -> None:
        new = self._connection()
        self.socket = new
        if self._tunnel_host:
            self._tunnel()
        self.socket = wrapped(new, file=self.file, certificates=self.certificates)
        self.is_verified = True
"""
MIX = """\
    /**
     * Mixes the last step of a hash of 32 bits.
     *
     * @param hash The hash until now
     * @return The last hash
     */
    static int mix(int hash) {
        hash ^= hash >>> 16;
        hash *= 0x85ebca6b;
        hash ^= hash >>> 13;
        hash *= 0xc2b2ae35;
        hash ^= hash >>> 16;
        return hash;
    }
"""
OLD_MIX = MIX.replace("hash >>> 16", "(hash >>> 16)").replace("hash >>> 13", "(hash >>> 13)")
END = """\
    public int end() {
        int rest = 0;
        switch (length) {
            case 3:
                rest ^= bytes[2] << 16;
            case 1:
                rest ^= bytes[0];
                rest *= FIRST;
                hash ^= rest;
        }
        hash ^= total;
        hash ^= hash >>> 16;
        hash *= 0x85ebca6b;
        hash ^= hash >>> 13;
        return hash;
    }
"""
ENCODED = """\
    @Override
    protected byte[] encoded(final byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        final byte[] data = Codec.printable(PRINTABLE, bytes);
        if (this.blanks) {
            for (int i = 0; i < data.length; i++) {
                if (data[i] == SPACE) {
                    data[i] = UNDERSCORE;
                }
            }
        }
        return data;
    }
"""
HASHES = """\
class Hashes {{
    static final int FIRST = 0x1b873593;

    static int hash(final byte[] bytes, final int seed) {{
        int hash = seed;
        for (int i = 0; i + 4 <= bytes.length; i += 4) {{
            hash = mixed(little(bytes, i), hash);
        }}
        return mix(hash ^ bytes.length);
    }}

{0}
    static int little(final byte[] bytes, final int at) {{
        return bytes[at] & 0xff | (bytes[at + 1] & 0xff) << 8;
    }}
}}
"""
CASES = {
    "lines of it stand in the function above": (
        CONNECTION,
        SET_CHECK,
        CONNECT,
        CONNECTION + SET_CHECK,
    ),
    "a part of the other is in it": (HASHES.format(""), MIX, END, HASHES.format(MIX)),
    "its head and its end stood there, and lines that it has twice changed": (
        HASHES.format(OLD_MIX),
        MIX,
        ENCODED,
        HASHES.format(MIX),
    ),
}


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("case", CASES)
def test_its_text_is_all_of_the_function_and_nothing_more(case: str, order: str) -> None:
    before, taken, left, after = CASES[case]
    both = f"{taken}\n{left}" if order == "first" else f"{left}\n{taken}"
    match = find(both, before, Saved(after), min_tokens=8, min_similarity=0.6)
    assert match is not None
    assert "\n".join(after.split("\n")[match.start : match.end]) + "\n" == taken
