"""Slack as the announce and thread steps want it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from watcher.runbook.thread import Gone
from watcher.systems.slack import Posted, Slack
from watcher.systems.slack.calls import Refused

# How Slack says that a thread's message isn't there: https://docs.slack.dev/reference/methods/conversations.replies,
# and chat.postMessage, whose page names no other error for it.
GONE = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})


class SlackAnnouncer:
    """Slack as the steps use it: a place is a mapping, as a case holds it."""

    def __init__(self, client: Slack) -> None:
        self._client = client

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Where the message with `key` is, if it was posted."""
        found = self._client.find(key, since)
        return _place(found) if found else None

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post, and say where."""
        return _place(self._client.post(text, key))

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Change the message at `place`."""
        self._client.update(_posted(place), text)

    def known(self, thread: Mapping[str, str]) -> frozenset[str]:
        """What the thread has already. Raises Gone where its message was deleted."""
        with _gone():
            return self._client.keys_in(_posted(thread))

    def reply(self, thread: Mapping[str, str], text: str, key: str, *, broadcast: bool) -> None:
        """Post a reply. Raises Gone where the thread's message was deleted."""
        with _gone():
            self._client.post(text, key, _posted(thread), broadcast=broadcast)

    def upload(self, thread: Mapping[str, str], name: str, content: bytes, title: str) -> None:
        """Put a file into the thread."""
        self._client.upload(_posted(thread), name, content, title)


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if refused.code in GONE:
            raise Gone(refused.system, refused.said, lasting=True) from None
        raise


def _place(posted: Posted) -> dict[str, str]:
    return {"channel": posted.channel, "ts": posted.ts}


def _posted(place: Mapping[str, str]) -> Posted:
    return Posted(place["channel"], place["ts"])
