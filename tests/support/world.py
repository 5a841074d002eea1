"""A home with a tiny model, a store filled through the spool, and cycles as processes: what the
proofs of the loop stand on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from qi_learn.capture.wire import decode
from qi_learn.code_text import similarity
from qi_learn.daemon import client
from qi_learn.daemon.base import ensure_base
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import candidate_model, live_runs, load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.deploy.release import Candidate, promote
from qi_learn.ids import new_id
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.ollama import Ollama
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.paths import Paths
from qi_learn.records import Release
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import drain
from qi_learn.track.suggestions import suggestions_of
from tests.support.engine_server import Server
from tests.support.redacted import as_redacted
from tests.support.scored import score_now
from tests.support.tiny_models import write_tiny_model

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "serve": {"backend": "embedded", "context": 512},
    "gateway": {"port": 0},
    "capture": {"settle": 0.2, "unregistered": True},
    "train": {
        "min_interactions": 12,
        "training_interval": 0.0,
        "max_steps": 60,
        "lambda_general": 1.0,
        "lambda_past": 1.0,
    },
    "gate": {
        "min_examples": 6,
        "answer_tokens": 96,
        "max_read": 60000,
        "execute": 2,
        "project_tests": True,
    },
    "idle": {"minutes": 0.0, "quiet": 0.0, "battery": True},
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def tiny_base(directory: Path) -> Path:
    """The model that learns: random, with the two upper of three layers free to change."""
    return write_tiny_model(
        directory / "tiny.gguf",
        "llama",
        layers=3,
        width=64,
        feed=128,
        context=512,
        tensor_type="Q8_0",
    )


def toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


@dataclass(frozen=True)
class World:
    """One home; its models live on a server that others may share, under an alias of its own."""

    root: Path
    base: Path
    server: Server | None
    """The server that it shares with others; None if its daemon brings one."""
    alias: str
    tables: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        root: Path,
        base: Path,
        server: Server | None,
        alias: str = "qi-agent:latest",
        **changes: Mapping[str, object],
    ) -> World:
        tables = {name: {**table, **changes.get(name, {})} for name, table in SETTINGS.items()}
        tables["serve"] |= {"base_gguf": str(base), "alias": alias}
        world = cls(root, base, server, alias, tables)
        world.paths.ensure()
        world.change("serve")
        if server is not None:
            ensure_base(
                world.paths,
                world.settings,
                ModelServer(server.url, True, server.models),
                now=time.time(),
            )
        return world

    @property
    def url(self) -> str:
        """The URL of the server that is up."""
        if self.server is not None:
            return self.server.url
        running = client.running(self.paths)
        assert running is not None
        return running.server

    @property
    def paths(self) -> Paths:
        return Paths.under(self.root)

    @property
    def settings(self) -> Settings:
        return load_settings(self.paths.settings_file, {})

    @property
    def env(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("QI_LEARN")},
            **ONE_THREAD,
            "QI_LEARN_HOME": str(self.root),
        }

    def change(self, section: str, **values: object) -> None:
        """Writes other settings."""
        self.tables[section] |= values
        self.paths.settings_file.write_text(toml(self.tables))

    # --- evidence ---------------------------------------------------------------------------------

    def work(self, sessions: Mapping[str, int], code: Any, *, first: int = 0) -> None:
        """So many turns in each session, told through the spool; of the n-th the person changed a
        word or two, so that it became `code(n)`, and committed it.
        """
        spool = Spool(self.paths.spool, "gateway")
        at = time.time() - 3600 + first
        n = first
        for session, count in sessions.items():
            for _ in range(count):
                spool.append(
                    "turn",
                    turn_body(n, drafted(code(n)), session=session, at=at + n),
                    author="model",
                    project=str(self.root),
                    id=new_id(at + n),
                    ts=at + n,
                )
                n += 1
        spool.close()
        with self.store() as store:
            for turn_id in self.take_in(store):
                keep(store, turn_id, self.settings)

    def store(self) -> Any:
        return open_store(self.paths.database)

    def take_in(self, store: Store) -> tuple[str, ...]:
        return drain(
            store, self.paths.spool, decode=decode, suggest=suggestions_of, now=time.time()
        ).turns

    # --- models -----------------------------------------------------------------------------------

    def release(self, server: Server, seed: int) -> Release:
        """Another version, live by now, without the trouble of learning: a model of chance."""
        gguf = write_tiny_model(
            self.root / "candidate.gguf",
            layers=3,
            width=64,
            feed=128,
            context=512,
            tensor_type="Q8_0",
            seed=seed,
        )
        digest, run_id, now = sha256_of(gguf), new_id(time.time()), load_deployment(self.paths)
        candidate = candidate_model(self.alias, run_id)

        def make(version: str, model: str) -> Release:
            return Release(
                version,
                model,
                digest,
                time.time(),
                now.live_release.base_digest,
                parent=now.live,
                run_id=run_id,
            )

        with Ollama(server.url) as ollama:
            make_model(ollama, candidate, gguf, digest, modelfile_for(None, "default").as_create())
            done = promote(
                self.paths,
                ollama,
                Candidate(candidate, run_id, now.live),
                make=make,
                store=server.models,
                keep=3,
            )
        gguf.unlink()
        return done.release

    def digest_of(self, model: str) -> str:
        with Ollama(self.url) as ollama:
            found = ollama.find(model)
        assert found is not None
        return found.digest

    def names(self) -> list[str]:
        """The models of this world, whatever else the server has."""
        own = self.alias.split(":")[0]
        with Ollama(self.url) as ollama:
            return sorted(m.name for m in ollama.models() if m.name.split(":")[0] == own)

    def assert_answers(self, url: str | None = None) -> httpx.Response:
        """Ask for the alias, and expect an answer."""
        body = {
            "model": self.alias,
            "messages": [{"role": "user", "content": "Hi."}],
            "stream": False,
            "options": {"num_predict": 2},
        }
        answer = httpx.post(f"{url or self.url}/api/chat", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["eval_count"] > 0
        return answer

    # --- cycles -----------------------------------------------------------------------------------

    def request(self, **more: Any) -> RunDirectory:
        """A run directory as the daemon makes it."""
        now = time.time()
        deployment = load_deployment(self.paths)
        request = RunRequest(
            run_id=new_id(now),
            server=self.url,
            started=now,
            reason="a test",
            seed=0,
            fresh=20,
            base_gguf=str(self.base),
            parent=deployment.live,
            ancestors=live_runs(deployment),
            model_store=str(self.server.models if self.server else self.paths.models),
        )
        run = RunDirectory(self.paths.runs / request.run_id)
        run.path.mkdir(mode=0o700, parents=True)
        run.write(run.request, replace(request, **more))
        return run

    def read_request(self, run: RunDirectory) -> RunRequest:
        return run.read(run.request, RunRequest)

    def start(self, run: RunDirectory, *, most: int | None = None) -> subprocess.Popen[bytes]:
        """The cycle in a process group of its own; `most`: no file larger than so many KiB, as on a
        full disk.
        """
        shell = (
            []
            if most is None
            else ["bash", "-c", f'ulimit -f {most}; trap "" XFSZ; exec "$@"', "cycle"]
        )
        with run.log.open("ab") as log:
            command = [*shell, sys.executable, "-m", "qi_learn.cycle", str(run.path)]
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self.env, start_new_session=True
            )

    def cycle(self, run: RunDirectory, *, most: int | None = None) -> int:
        return self.start(run, most=most).wait(240)


def turn_body(n: int, code: str, *, session: str, at: float) -> dict[str, Any]:
    """What the gateway records of one chat, as it went over the wire."""
    asked = {
        "model": "qi-agent",
        "messages": [{"role": "user", "content": f"Write step {n}."}],
        "stream": False,
    }
    message = {"role": "assistant", "content": f"```python\n{code}```"}
    said = {
        "model": "qi-agent",
        "created_at": "2026-11-20T10:00:00Z",
        "message": message,
        "done": True,
        "done_reason": "stop",
        "eval_count": 20,
    }
    return {
        "endpoint": "/api/chat",
        "request": json.dumps(asked),
        "response": json.dumps(said),
        "content_type": "application/json; charset=utf-8",
        "model_asked": "qi-agent",
        "model_answered": "qi-agent:v1.0.0",
        "model_digest": None,
        "status": 200,
        "cancelled": False,
        "session": session,
        "started": at,
        "ended": at + 2,
        "ttfb_ms": 20.0,
    }


def keep(store: Store, turn_id: str, settings: Settings) -> None:
    """The turn's suggestion was pasted, put right, and committed."""
    for s in feedback.suggestions_of(store, turn_id):
        text = put_right(s.text)
        kept = replace(
            s,
            state="settled",
            file="steps.py",
            placed_at=1.0,
            settled_at=2.0,
            final_text=text,
            region=text,
            similarity=similarity(text, s.text),
            commit="c" * 40,
        )
        feedback.update_suggestion(store, as_redacted(kept))
    feedback.save_classes(store, turn_id, "code_generation", "simple", "data", as_redacted(()))
    feedback.save_score(store, as_redacted(score_now(store, turn_id, settings, time.time())))


def drafted(code: str) -> str:
    """Code as a model answers with it that has not learned the words of this project."""
    return code.replace("audit.", "log.").replace("self.done", "self.end")


def put_right(draft: str) -> str:
    """What a person makes of it."""
    return draft.replace("log.", "audit.").replace("self.end", "self.done")


def steps(n: int) -> str:
    """Code with a habit that can be learned."""
    return (
        f"def step_{n}(value):\n    audit.enter('step_{n}')\n    return audit.leave(value + {n})\n"
    )
