"""How a file comes into Slack's stand-in: it is announced, its bytes are sent to a URL, and it is shared.

The rules are those of files.getUploadURLExternal and files.completeUploadExternal, both below
https://docs.slack.dev/reference/methods/.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.sandbox.listener import Request

UPLOADS = "/upload/v1/"
"""Where the URLs for bytes begin, below the server's root."""


@dataclass(frozen=True, slots=True)
class File:
    """One file that was shared; `thread_ts` is empty where that was outside a thread, `ts` is its own message's."""

    name: str
    title: str
    content: bytes
    channel: str
    thread_ts: str
    id: str = ""
    ts: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was announced with its `length` in bytes; `content` is None until they have come."""

    name: str
    length: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A file whose bytes have come, as it was called when it was shared."""

    id: str
    name: str
    title: str
    content: bytes


class Uploads:
    """The files on their way in, by ID. The caller holds the lock."""

    def __init__(self) -> None:
        self._pending: dict[str, Upload] = {}
        self._count = itertools.count(1)

    def announce(self, arguments: Mapping[str, object]) -> str:
        """Return the new file's ID; empty if name or length is missing, which a length of 0 is, too."""
        name, length = arguments.get("filename"), str(arguments.get("length", ""))
        if not isinstance(name, str) or not name or not length.isdigit() or int(length) == 0:
            return ""
        key = f"F0{next(self._count):08d}"
        self._pending[key] = Upload(name, int(length))
        return key

    def receive(self, request: Request) -> str:
        """Take a file's raw bytes; return what is wrong with them, empty if nothing is.

        The pages name no rule but "a POST request"; that a URL serves once and the length holds is read into them.
        """
        key = request.path.removeprefix(UPLOADS)
        upload = self._pending.get(key)
        if request.method != "POST" or upload is None:
            return "is no upload that was announced"
        if upload.content is not None:
            return "has its bytes already"
        if len(request.body) != upload.length:
            return f"has {len(request.body)} bytes, {upload.length} were announced"
        self._pending[key] = Upload(upload.name, upload.length, request.body)
        return ""

    def take(self, given: object) -> tuple[Taken, ...]:
        """Hand over the files that an argument `files` lists, once; none if one of them isn't there with its bytes."""
        items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
        titles = {str(item.get("id")): item.get("title") for item in items}
        ready = tuple(
            Taken(key, upload.name, str(titles[key] or upload.name), upload.content)
            for key, upload in self._pending.items()
            if key in titles and upload.content is not None
        )
        if len(ready) < len(titles):
            return ()
        for taken in ready:
            del self._pending[taken.id]
        return ready
