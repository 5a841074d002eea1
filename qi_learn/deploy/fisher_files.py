"""The Fisher files of versions nobody can go back to any more, and of bases nobody trains on:
hundreds of megabytes that nothing reads.

The invariant: whatever a next cycle may start from (the base, every version whose model is still
there) keeps its files. Adapters are smaller (256 MB at most, or rank 64) and stay: a version's
lineage can always be read.
"""

from __future__ import annotations

import logging
from pathlib import Path

from qi_learn.deploy.journal import load_deployment
from qi_learn.paths import Paths

PAST_FISHER = "past_fisher.safetensors"
"""Name in a version's directory: what past work up to that version needs of the weights."""
CACHED = 2
"""General Fishers that are kept, the last used ones: one for each way of training that is tried
out, not one for each ever tried.
"""

logger = logging.getLogger(__name__)


def prune_fishers(paths: Paths) -> list[Path]:
    """Deletes them; says which. Run again it finds what an interrupted call left."""
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
