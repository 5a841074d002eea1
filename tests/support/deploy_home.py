"""A data directory and a small real server for the tests of deploy, and the life of a version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from qi_learn.deploy import base_version, journal, release
from qi_learn.deploy.base_version import BaseSource
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import candidate_model, load_deployment
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release
from tests.support import fake_models_server as fake

ALIAS = "qi-agent:latest"


class Home:
    """A data directory and a server; `store` is the server's model store if it counts as local."""

    def __init__(self, root: Path, models: fake.FakeModels, *, local: bool) -> None:
        self.paths = Paths.under(root / "home").ensure()
        self.models = models
        self.store = models.root if local else None
        self.files = root
        self.server = Ollama(models.url)

    def file(self, who: str, **behaviour: Any) -> tuple[Path, str]:
        """A model file that says who it is, and its digest."""
        content = fake.gguf(say=f"I am {who}.", **behaviour)
        path = self.files / f"{who}.gguf"
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    def base(
        self,
        source: BaseSource | None = None,
        *,
        alias: str = ALIAS,
        answer_for: tuple[str, ...] = (),
    ) -> journal.Deployment:
        """Ensure the base, from the file of that name unless another source is given."""
        return base_version.ensure_base(
            self.paths,
            self.server,
            source or BaseSource("", *self.file("base")),
            alias=alias,
            answer_for=answer_for,
            store=self.store,
            now=1.0,
        )

    def promote(
        self, run: str, *, compared_with: str | None = None, keep: int = 3, bump: Any = "minor"
    ) -> release.Promoted:
        """Make a candidate of this run and promote it."""
        gguf, digest = self.file(run)
        candidate = candidate_model(ALIAS, run)
        make_model(self.server, candidate, gguf, digest, {})
        live = load_deployment(self.paths)

        def make(version: str, model: str) -> Release:
            return Release(
                version,
                model,
                digest,
                float(len(live.releases) + 1),
                live.live_release.base_digest,
                parent=compared_with or live.live,
                run_id=run,
            )

        return release.promote(
            self.paths,
            self.server,
            release.Candidate(candidate, run, compared_with or live.live, bump),
            make=make,
            store=self.store,
            keep=keep,
        )

    def weights(self, name: str) -> str | None:
        return self.models.weights(name)

    def routes(self) -> dict[str, Any]:
        return dict(json.loads(self.paths.routes.read_text()))
