"""Where no version shipped, the demonstration still shows the way back: from a repack of the live version's own weights, said so."""

from __future__ import annotations

import time

from qi_learn.demo.home import Home
from qi_learn.deploy.journal import candidate_model, load_deployment
from qi_learn.deploy.release import promote
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Release
from qi_learn.serve.backend import Backend
from qi_learn.spool import new_id


def repack_live(home: Home, backend: Backend) -> str:
    """Makes the live version's weights live again under the next patch number; the version."""
    live = load_deployment(home.paths).live_release
    now = time.time()
    name = candidate_model(home.alias, new_id(now))
    with Ollama(backend.url) as server:
        server.copy(live.model, name)
        done = promote(
            home.paths,
            server,
            name,
            compared_with=live.version,
            run_id=f"repack {live.version}",
            bump="patch",
            make=lambda version, model: Release(version, model, live.digest, now, live.base_digest, parent=live.version, adapter=live.adapter),
            store=backend.model_store,
            keep=home.settings.serve.keep,
        )
    return done.release.version
