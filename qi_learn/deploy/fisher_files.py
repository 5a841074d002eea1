"""Fisher files that nothing reads any more, hundreds of megabytes each.

They are of versions that cannot be made live again, and of bases that are no longer trained on.

The invariant: everything that a next cycle may start from (the base, every version whose model is
still there) keeps its files. Adapters are smaller (256 MB at most, or rank 64) and stay: a
version's lineage can always be read.
"""

from __future__ import annotations

import logging
from pathlib import Path

from qi_learn.deploy.journal import load_deployment
from qi_learn.paths import Paths

PAST_FISHER = "past_fisher.safetensors"
"""Name in a version's directory: what past work up to that version needs of the weights."""
CACHED = 2
"""The number of general Fishers that are kept, the last used ones: those of the ways of training
that are in use, not of each that was ever tried.
"""

logger = logging.getLogger(__name__)


def prune_fishers(paths: Paths) -> list[Path]:
    """Delete such files; their paths. Run again it finds what an interrupted call left."""
    deployment = load_deployment(paths)
    retired = [
        r.adapter for r in deployment.releases if r.version in deployment.retired and r.adapter
    ]
    cached = sorted(paths.fisher.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
    old = [
        p
        for p in (*(paths.data / adapter / PAST_FISHER for adapter in retired), *cached[:-CACHED])
        if p.exists()
    ]
    for path in old:
        path.unlink()
        logger.info("%s is not needed any more and was deleted", path)
    return old
