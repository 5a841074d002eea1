"""How often the gate errs: adversaries that ship, and useful updates that do not.

Updates of known worth (gating/updates.py) go through the real `give_verdict`, as records:

    adversaries  what must not ship (gating/adversaries.py): the share that does, and the upper end
                 of its 95 % interval
    type1        nothing, at a single look at 5 %, by sessions; `type1_shapes` by the shape of the
                 differences, rule 2 alone
    chains       30 cycles of nothing (`type1_chain30`: any ships), and 30 of which a third help
    power        0.1 nat better on the person's tokens, answers equally good, at a single look at
                 5 %, by examples and sessions; by effect; by tokens of an example; by the law of
                 the noise; by how much is known of the correlation within sessions; by the share of
                 turns that were kept as they were; by how much general texts differ by themselves
                 (`harmless_by_text_spread`: no suite refuses; `rise_refused_by_text_spread`)
    whole_gate   one gate through real files and a real server (gating/whole_gate.py), with
                 `tokens_read` and `tokens_generated`

`power_25_3` is 25 examples in 3 sessions, of 3 to 60 tokens of the person's each, with the
correlation known from some twenty earlier looks. The noise is that of trained updates, as measured
by `scripts/bench noise` (data/update_noise.json); what is assumed stands in gating/updates.py and
gating/noise.py. Progress goes to stderr; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from qi_learn import codec
from scripts.benchmarks.gating.draws import Bench
from scripts.benchmarks.gating.errors import adversaries, errors
from scripts.benchmarks.gating.power import power
from scripts.benchmarks.gating.whole_gate import whole_gate


def main() -> None:
    given = options()
    began = time.monotonic()
    result: dict[str, Any] = {}
    if not given.whole_only:
        with ProcessPoolExecutor(given.processes) as pool:
            bench = Bench(pool, given.seed)
            result = {
                **adversaries(bench, given.draws, given.chains),
                **errors(bench, given.draws, given.chains),
                **power(bench, given.draws, quick=given.quick),
                "draws": given.draws,
                "chains": given.chains,
            }
    gate = whole_gate(given.base, quick=given.quick)
    result |= {
        "tokens_read": gate.cost.read,
        "tokens_generated": gate.cost.generated,
        "whole_gate": codec.plain(gate),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures how often the gate errs.")
    parser.add_argument("--quick", action="store_true", help="few draws: about a minute")
    parser.add_argument("--draws", type=int, help="of every single update")
    parser.add_argument("--chains", type=int, help="of every chain of cycles")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole-only", action="store_true", help="nothing but the whole gate")
    parser.add_argument("--base", type=Path, help="of the whole gate; a tiny random one by default")
    given = parser.parse_args()
    given.draws = given.draws or (20 if given.quick else 400)
    given.chains = given.chains or (4 if given.quick else 200)
    return given


if __name__ == "__main__":
    main()
