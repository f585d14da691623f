"""What Slack's stand-in demands of a call before a method sees it: its content type, and arguments that can be read.

Each rule cites its page below https://docs.slack.dev/.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs

from watcher.sandbox.listener import Request

CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
CHARSETS = (None, "utf-8", "iso-8859-1")
METADATA_NAME = re.compile(r"[A-Za-z0-9_]+")
OBJECTS = ("metadata", "files")
"""The arguments that a form holds as JSON."""


def content_error(request: Request) -> str:
    """Check the POST's type and charset (reference/methods/chat.update, errors invalid_post_type, invalid_charset)."""
    if request.method == "GET":
        return ""
    if "Content-Type" not in request.headers:
        return "missing_post_type"
    if request.headers.get_content_type() not in CONTENT_TYPES:
        return "invalid_post_type"
    charset = request.headers.get_content_charset()
    return "" if charset in CHARSETS else "invalid_charset"


def arguments_of(request: Request) -> dict[str, Any] | None:
    """Return the call's arguments, out of a JSON or a form body or the query; None if they can't be read."""
    arguments: dict[str, Any] = {name: values[0] for name, values in request.query.items()}
    if request.headers.get_content_type() == "application/json" and request.body:
        try:
            given = json.loads(request.body)
        except ValueError:
            return None
        return {**arguments, **given} if isinstance(given, dict) else None
    form = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    arguments |= {name: values[0] for name, values in form.items()}
    for name in OBJECTS:
        if isinstance(arguments.get(name), str):
            try:
                arguments[name] = json.loads(arguments[name])
            except ValueError:
                arguments[name] = None
    return arguments


def flag(given: object) -> bool:
    """Read a boolean, which a form holds as a word or a digit."""
    return str(given).lower() in ("1", "true")


def text_error(text: object) -> str:
    """Check that there is a text (reference/methods/chat.postMessage, error no_text)."""
    return "" if isinstance(text, str) and text.strip() else "no_text"


def metadata_error(metadata: object) -> str:
    """Check metadata (messaging/message-metadata): an alphanumeric `event_type` and an object `event_payload`."""
    if metadata is None:
        return ""
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        return "invalid_metadata_format"
    return "" if METADATA_NAME.fullmatch(str(metadata.get("event_type", ""))) else "invalid_metadata_format"
