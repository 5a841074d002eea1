"""The way back if no version shipped: from a repack of the live version's own weights.

The demonstration says so.
"""

from __future__ import annotations

import time

from qi_learn.demo.home import DemoHome
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.deploy.release import Candidate, promote
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.records import Release


def repack_live(home: DemoHome, model_server: ModelServer) -> str:
    """Make the live version's weights live again under the next patch number, and return that."""
    live = load_deployment(home.paths).live_release
    now = time.time()
    # not a candidate's name: the daemon clears those away
    name = str(parse_name(home.alias).tagged("repack"))
    with Ollama(model_server.url) as server:
        server.copy(live.model, name)
        done = promote(
            home.paths,
            server,
            Candidate(name, f"repack {live.version}", live.version, "patch"),
            make=lambda version, model: Release(
                version,
                model,
                live.digest,
                now,
                live.base_digest,
                parent=live.version,
                adapter=live.adapter,
            ),
            store=model_server.model_store,
            keep=home.settings.serve.keep,
        )
    return done.release.version
