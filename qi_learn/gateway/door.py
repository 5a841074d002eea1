"""The gateway's own route: `GET /qi/state` says what it does. Every other request passes.

It is for the command line and the daemon, so no page of any site is answered, and a Host that is
not ours is refused as always. It tells counts and settings, never what was asked or answered.
"""

from __future__ import annotations

import json

from aiohttp import web

from qi_learn.gateway.own_state import STATE_PATH, GatewayState
from qi_learn.gateway.proxy import Gateway


class Door:
    """Takes every request."""

    def __init__(self, gateway: Gateway, state: GatewayState) -> None:
        self._gateway = gateway
        self._state = state

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer for ourselves, or let the gateway pass it on."""
        if request.raw_path == STATE_PATH and request.method == "GET":
            return self._own_state(request)
        return await self._gateway.handle(request)

    def _own_state(self, request: web.BaseRequest) -> web.Response:
        refusal = self._gateway.guard.refusal(request.path, request.headers)
        if refusal is None and "Origin" in request.headers:
            refusal = "qi-learn tells no page what it does"
        self._gateway.recorder.look()  # the settings may have changed since the last request
        body = {"error": refusal} if refusal else self._state.snapshot()
        return web.Response(
            status=403 if refusal else 200,
            body=json.dumps(body).encode("utf-8"),
            content_type="application/json",
        )
