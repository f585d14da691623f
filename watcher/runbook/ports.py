"""What the runbook asks of the outside systems: Protocols that `systems/` fulfils, and that `daemon` puts in.

Every method may raise `systems.fault.Fault`; none blocks for longer than its system's timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from watcher.judgement.model import Answer, Grid
from watcher.runbook.case import Case


class Cluster(Protocol):
    """The Kubernetes API, as the steps use it: raw JSON by API path."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read one object or a short list."""

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object; AlreadyExists where its name is taken."""

    def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace an object; Conflict where its resourceVersion is no longer the newest."""

    def delete(self, path: str) -> dict[str, Any]:
        """Delete an object; NotFound where there is none."""

    def json_patch(self, path: str, ops: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply a JSON patch; Invalid where a `test` in it fails."""

    def pod_get(self, namespace: str, pod: str, port: int, path: str, scheme: Literal["http", "https"] = "http") -> int:
        """Ask a pod through the API server's proxy; its HTTP status."""


class Pager(Protocol):
    """PagerDuty."""

    can_link: bool
    """Whether a REST token is given, without which incidents have no address and no notes."""

    def page(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Open the case's incident; the case's id is the dedup key, so that repeating it changes nothing."""

    def link(self, case: Case) -> str | None:
        """The incident's address; None where no REST token is given, or it isn't there yet."""

    def settle(self, case: Case, note: str, *, resolve: bool) -> None:
        """Put the note on the incident, once, where a REST token is given; resolve it where `resolve`."""


class Announcer(Protocol):
    """Slack."""

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Look for the message that carries `key`, posted after `since`; where it is (channel, ts), or None."""

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post a message that carries `key`; where it is."""

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Change the message at `place`."""


class Prometheus(Protocol):
    """Prometheus. Never raises: what goes wrong is in the answer."""

    def range(self, query: str, grid: Grid) -> Answer:
        """Ask one range query."""


class Probe(Protocol):
    """A GET from outside, as a smoke test."""

    def __call__(self, url: str, timeout: float) -> int:
        """The HTTP status; Fault where there is no HTTP answer."""


class Recheck(Protocol):
    """The breached check, asked again of the revision that serves now."""

    def __call__(self, case: Case, now: float) -> tuple[bool, str]:
        """Say whether it is back under its threshold, and the numbers."""
