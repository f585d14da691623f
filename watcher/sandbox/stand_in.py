"""An HTTP server that stands in for an outside system, and that can be made to fail in the usual ways.

`pagerduty` and `slack` beside it say what is answered, `listener` has the sockets; the demo and the tests start
stand-ins and make them fail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from watcher.sandbox.listener import Listener, Reply, Request, Stream, json_reply

__all__ = ["HTML", "RETRY_AFTER", "Dropped", "Mode", "Reply", "Request", "StandIn", "Stream", "json_reply"]

Mode = Literal["refused", "timeout", "hung-halfway", "429", "500", "html", "wrong-shape"]

RETRY_AFTER = 7
"""The seconds that a rate-limited answer asks for."""

HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in to the proxy.</body></html>"


class Dropped(ConnectionAbortedError):
    """Raised by a hook to cut the connection: `before`, so that nothing is carried out; `after`, that it is unanswered.

    An OSError, which the listener takes for the connection's end and says nothing about.
    """


@dataclass(slots=True)
class _Outage:
    """A mode in force for the requests that `takes`; `left` counts those that it still gets, None: all."""

    mode: Mode
    takes: Callable[[Request], bool]
    left: int | None
    shape: object


class StandIn:
    """A threaded HTTP server on `host` that answers with `answer`, unless told to fail.

    `before` runs when a request has come in and nothing is done yet; `after` when it was carried out and nothing is
    answered yet, which is where a client that dies leaves the most behind. Either may raise Dropped.

    `requests`, `met` (those that met a failure, with its mode; `refused` lets none in) and `violations` grow as
    requests come in; they are only ever appended to.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.met: list[tuple[Mode, Request]] = []
        self.violations: list[str] = []
        self.before: Callable[[Request], None] = lambda request: None
        self.after: Callable[[Request], None] = lambda request: None
        self._outages: list[_Outage] = []
        self._listener = Listener(host, self._reply_to)

    @property
    def port(self) -> int:
        """The port, the same through outages."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://{self._listener.host}:{self.port}"

    def answer(self, request: Request) -> Reply:
        """Carry `request` out and return what to answer."""
        raise NotImplementedError

    def limited(self, request: Request) -> Reply:
        """Return the answer to a client that asks too often; `request` was not carried out."""
        return json_reply(429, {"error": "too many requests"}, {"Retry-After": str(RETRY_AFTER)})

    def violate(self, rule: str) -> None:
        """Note that a request broke one of the vendor's documented rules."""
        with self.lock:
            self.violations.append(rule)

    def start(self) -> Self:
        """Listen, and return self."""
        self._listener.open()
        return self

    def stop(self) -> None:
        """Close the port and every connection, the hung ones too."""
        self._listener.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def inject(
        self,
        mode: Mode,
        *,
        prefix: str = "/",
        when: Callable[[Request], bool] = lambda request: True,
        times: int | None = None,
        shape: object = None,
    ) -> None:
        """Fail in `mode` from now on.

        Takes the requests whose path starts with `prefix` and that `when` picks, `times` of them (None: until
        `recover`). `refused` closes the port itself and so takes every request. `timeout` carries nothing out and never
        answers; `hung-halfway` carries the request out and then sends half of the answer (of a stream: half of its
        first piece). `shape` is the JSON of `wrong-shape`.
        """
        if mode == "refused":
            self._listener.close()
            return
        with self.lock:
            outage = _Outage(mode, lambda request: request.path.startswith(prefix) and when(request), times, shape)
            self._outages.append(outage)

    def recover(self) -> None:
        """End every failure: let hung connections go, and listen again on the same port."""
        with self.lock:
            self._outages.clear()
        self._listener.let_go()
        self._listener.open()

    def _take_outage(self, request: Request) -> _Outage | None:
        """Return the failure that `request` meets, and count it."""
        with self.lock:
            for outage in self._outages:
                if outage.left != 0 and outage.takes(request):
                    outage.left = None if outage.left is None else outage.left - 1
                    self.met.append((outage.mode, request))
                    return outage
        return None

    def _reply_to(self, request: Request) -> tuple[Reply | None, bool]:
        """Return the answer to `request` (None: never answer), and whether to hang once half of it is sent."""
        with self.lock:
            self.requests.append(request)
        outage = self._take_outage(request)
        if outage and outage.mode == "timeout":
            return None, False
        if outage and outage.mode != "hung-halfway":
            return self._failure(outage, request), False
        self.before(request)
        reply = self.answer(request)
        self.after(request)
        return reply, outage is not None

    def _failure(self, outage: _Outage, request: Request) -> Reply:
        if outage.mode == "429":
            return self.limited(request)
        if outage.mode == "html":
            return Reply(200, HTML, "text/html; charset=utf-8")
        if outage.mode == "wrong-shape":
            return json_reply(200, outage.shape)
        return json_reply(500, {"error": "internal server error"})
