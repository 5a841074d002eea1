"""Where no version shipped, the demonstration still shows the way back: from a repack of the live
version's own weights, said so.
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


def repack_live(home: DemoHome, backend: ModelServer) -> str:
    """Makes the live version's weights live again under the next patch number; the version."""
    live = load_deployment(home.paths).live_release
    now = time.time()
    name = str(
        parse_name(home.alias).tagged("repack")
    )  # no candidate's name: the daemon clears those away
    with Ollama(backend.url) as server:
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
            store=backend.model_store,
            keep=home.settings.serve.keep,
        )
    return done.release.version
