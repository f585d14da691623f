"""What the runbook asks of the outside systems: Protocols that `systems/` fulfils, and that `daemon` puts in.

Every method may raise `systems.fault.Fault`; none blocks for longer than its system's timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from watcher.judgement.impact import Impact
from watcher.judgement.model import Answer, Grid
from watcher.policy.model import SchemaQuery
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

    def pod_log(self, namespace: str, pod: str, container: str = "") -> str:
        """Read what a pod's container wrote; Fault where that is more than can be read whole."""

    def pod_get(self, namespace: str, pod: str, port: int, path: str, scheme: Literal["http", "https"] = "http") -> int:
        """Ask a pod through the API server's proxy; its HTTP status."""


class Pager(Protocol):
    """PagerDuty."""

    can_link: bool
    """Whether a REST token is given, without which incidents have no address and no notes."""

    has_database_team: bool
    """Whether the database team has a service of its own, which can be paged."""

    def page(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Open the case's incident; the case's incident key makes it one, so that repeating it changes nothing."""

    def page_database_team(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Open an incident of the database team's own; repeating it changes nothing."""

    def resolve_database_team(self, case: Case) -> None:
        """Resolve that incident."""

    def open_alert(self, case: Case) -> Mapping[str, str] | None:
        """The open incident (id, url, alert) of the alert that speaks of the case's Deployment in this cluster."""

    def link(self, case: Case) -> str | None:
        """The incident's address; None where no REST token is given, or it isn't there yet."""

    def note(self, incident: str, note: str) -> None:
        """Put a note on an incident, once."""

    def settle(self, case: Case, note: str, *, resolve: bool) -> None:
        """Put the note on the case's incident, once, where a REST token is given; resolve it where `resolve`."""


class Directory(Protocol):
    """Who is on call now, as PagerDuty says, found in Slack by e-mail."""

    def __call__(self) -> Mapping[str, list[str]]:
        """The Slack IDs by role; a role of which nothing is known, or nobody found in Slack, is left out."""


class Announcer(Protocol):
    """Slack. A place is a message's channel and ts."""

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Look for the message that carries `key`, posted after `since`; where it is, or None."""

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post a message that carries `key`; where it is."""

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Change the message at `place`."""

    def known(self, thread: Mapping[str, str]) -> frozenset[str]:
        """The keys of a thread's replies, and the names of its files."""

    def reply(self, thread: Mapping[str, str], text: str, key: str, *, broadcast: bool) -> None:
        """Post a reply that carries `key`; shown in the channel, too, where `broadcast`."""

    def upload(self, thread: Mapping[str, str], name: str, content: bytes, title: str) -> None:
        """Put a file into a thread; its name is what `known` finds it by."""


class Tracker(Protocol):
    """Jira. Documents are Atlassian's."""

    def find(self, label: str) -> Mapping[str, str] | None:
        """The ticket (key, url) with that label, or None. Jira's search may be some seconds behind."""

    def create(self, summary: str, document: Mapping[str, Any], labels: tuple[str, ...], due: str) -> Mapping[str, str]:
        """File a ticket, due on a date (YYYY-MM-DD); its key and url."""

    def commented(self, key: str, marker: str) -> bool:
        """Whether a comment on the ticket holds `marker`."""

    def comment(self, key: str, document: Mapping[str, Any]) -> None:
        """Comment on a ticket."""

    def attached(self, key: str) -> frozenset[str]:
        """The names of a ticket's attachments."""

    def attach(self, key: str, name: str, content: bytes) -> None:
        """Attach a PNG to a ticket."""


class Dashboards(Protocol):
    """Grafana."""

    def link(self, case: Case, until: float | None) -> str:
        """The address of the service's dashboard from before the rollout to `until` (None: now); empty without one."""

    def mark(self, case: Case, what: str, text: str, at: float) -> None:
        """Mark an instant on the dashboards, once for each case and `what`."""


class Figures(Protocol):
    """What Prometheus says of a case as a whole. Each raises Fault where Prometheus doesn't answer soundly."""

    def chart(self, case: Case, until: float) -> bytes | None:
        """The breached check as a PNG: before, threshold, rollout, rollback, recovery. None where it has no series."""

    def impact(self, case: Case, until: float) -> Impact:
        """How many requests were affected, and for how long."""


class Prometheus(Protocol):
    """Prometheus. Never raises: what goes wrong is in the answer."""

    def range(self, query: str, grid: Grid) -> Answer:
        """Ask one range query."""


class Probe(Protocol):
    """A GET from outside, as a smoke test."""

    def __call__(self, url: str, timeout: float) -> int:
        """The HTTP status; Fault where there is no HTTP answer."""


class Schema(Protocol):
    """The databases of the services, as far as their schemas' versions go."""

    def __call__(self, query: SchemaQuery) -> str:
        """The version that the query gives."""


class SchemaNow(Protocol):
    """The schema's version of the database that a case's policy names."""

    def __call__(self, case: Case) -> str | None:
        """The version as it is now; None where no policy says how to read it. Raises Fault."""


class Recheck(Protocol):
    """The breached check, asked again of the revision that serves now."""

    def __call__(self, case: Case, now: float) -> tuple[bool, str]:
        """Say whether it is back under its threshold, and the numbers."""
