"""A trial of a grammar, in a process that may die: `python -m qi_learn.outside.llguidance_check`.

The grammar comes on standard input. What is wrong with it goes to standard output, nothing if it is
right. Stack, memory and time are limited, so that a grammar which is too much ends this process and
no other.
"""

from __future__ import annotations

import resource
import sys
import threading

from qi_learn.outside.llguidance import CHECK_BYTES, CHECK_CPU_SECONDS, CHECK_STACK


def main() -> int:
    """Try the grammar, and write down what is wrong with it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_CPU, CHECK_CPU_SECONDS)
    _limit(resource.RLIMIT_AS, CHECK_BYTES)
    grammar = sys.stdin.read()
    found: list[str] = []
    threading.stack_size(CHECK_STACK)
    trial = threading.Thread(target=lambda: found.append(_problem(grammar)))
    trial.start()
    trial.join()
    if not found:
        return 1
    sys.stdout.write(found[0])
    return 0


def _limit(kind: int, most: int) -> None:
    """Set a limit, unless a lower one is there."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, hard))


def _problem(grammar: str) -> str:
    from llguidance import LLMatcher

    wrong, words = LLMatcher.validate_grammar_with_warnings(grammar)
    return words[0] if wrong else ""


if __name__ == "__main__":
    sys.exit(main())
