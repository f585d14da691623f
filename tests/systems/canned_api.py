"""An API server on loopback that gives canned answers, a stand-in that can fail in the usual ways besides."""

from __future__ import annotations

from collections.abc import Callable

from tests.systems.scripted_api import config_map
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply


class CannedApi(StandIn):
    """Answers every request with `reply`."""

    def __init__(self) -> None:
        super().__init__()
        self.reply: Reply | Callable[[Request], Reply] = json_reply(200, config_map("a", "1"))

    def answer(self, request: Request) -> Reply:
        """Answer with the canned reply."""
        return self.reply if isinstance(self.reply, Reply) else self.reply(request)

    def refuse(self, code: int, reason: str, message: str = "because", **more: object) -> None:
        """Answer with a Status object from now on."""
        told = {"kind": "Status", "metadata": {}, "code": code, "reason": reason, "message": message, **more}
        self.reply = json_reply(code, told)
