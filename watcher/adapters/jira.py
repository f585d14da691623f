"""Jira as the follow-up steps want it: one project and issue type, tickets as a case holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watcher.systems.jira import Jira, NewTicket, Ticket


class JiraTracker:
    """Jira as the steps use it."""

    def __init__(self, client: Jira, project: str, issue_type: str) -> None:
        self._client = client
        self._project = project
        self._issue_type = issue_type

    def find(self, label: str) -> Mapping[str, str] | None:
        """The ticket with that label."""
        found = self._client.find(self._project, label)
        return _shown(found) if found else None

    def create(self, summary: str, document: Mapping[str, Any], labels: tuple[str, ...], due: str) -> Mapping[str, str]:
        """File a ticket."""
        return _shown(self._client.create(NewTicket(self._project, self._issue_type, summary, document, labels, due)))

    def commented(self, key: str, marker: str) -> bool:
        """Whether a comment holds `marker`."""
        return self._client.comments_with(key, marker)

    def comment(self, key: str, document: Mapping[str, Any]) -> None:
        """Comment on a ticket."""
        self._client.comment(key, document)

    def attached(self, key: str) -> frozenset[str]:
        """The attachments' names."""
        return self._client.attachments(key)

    def attach(self, key: str, name: str, content: bytes) -> None:
        """Attach a PNG."""
        self._client.attach(key, name, content, "image/png")


def _shown(ticket: Ticket) -> dict[str, str]:
    return {"key": ticket.key, "url": ticket.url}
