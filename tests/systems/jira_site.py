"""A Jira site with one account, the adapter connected to it, and its calls."""

from __future__ import annotations

import base64
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.systems.fault_matrix import TIMEOUT
from watcher.sandbox import jira as stand_in
from watcher.systems.jira import Jira, JiraSettings, NewTicket
from watcher.systems.secret_file import SecretFile

EMAIL = "canary-watch@jira-b0t.example.qzxw"
TOKEN = "ATATT3xFfGF0-jir4T0kenNWQZ"
PAIR = base64.b64encode(f"{EMAIL}:{TOKEN}".encode()).decode()
SECRETS = (TOKEN, PAIR, EMAIL)
LABEL = "canary-watch-case-1"


def document(*texts: str) -> dict[str, Any]:
    """Return an Atlassian document with a paragraph for each text."""
    content = [{"type": "paragraph", "content": [{"type": "text", "text": text}]} for text in texts]
    return {"version": 1, "type": "doc", "content": content}


NEW = NewTicket("OPS", "Task", "Postmortem: cart rolled back", document("It was bad."), (LABEL,), "2026-11-25")
CALLS: dict[str, Callable[[Jira, str], object]] = {
    "find": lambda jira, key: jira.find("OPS", LABEL),
    "create": lambda jira, key: jira.create(NEW),
    "comments_with": lambda jira, key: jira.comments_with(key, "case-1"),
    "comment": lambda jira, key: jira.comment(key, document("Rolled back.")),
    "attachments": lambda jira, key: jira.attachments(key),
    "attach": lambda jira, key: jira.attach(key, "chart.png", b"\x89PNG", "image/png"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@dataclass(frozen=True, slots=True)
class Site:
    """The stand-in, settings that lead to it, and the key of a deployment ticket that a person opened there."""

    api: stand_in.Jira
    settings: JiraSettings
    ticket: str

    @property
    def jira(self) -> Jira:
        """The adapter."""
        return Jira(self.settings)

    def at(self, url: str) -> Jira:
        """Return the adapter with the same account at another address."""
        return Jira(replace(self.settings, url=url))


@contextmanager
def open_site(secret: Callable[[str, str], SecretFile]) -> Iterator[Site]:
    """Run a site for one test."""
    with stand_in.Jira(TOKEN, EMAIL) as api:
        settings = JiraSettings(api.url, secret("jira-email", EMAIL), secret("jira-token", TOKEN), TIMEOUT)
        yield Site(api, settings, api.add("OPS", "Deploy cart 1.2.3").key)
    gc.collect()  # a connection that the adapter left open warns now, and so fails this test and no other
