"""Jira tickets as people name them: the `ticket` annotation of a Deployment holds a key or a link. Pure text."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

KEY = re.compile(r"[A-Z][A-Z0-9_]+-[0-9]+")
"""A project's key, a dash and a number."""


def is_key(text: str) -> bool:
    """Whether `text` is a ticket's key, such as OPS-12, and nothing else."""
    return KEY.fullmatch(text) is not None


def key_of(text: str) -> str:
    """Return the key that `text` names: a key itself, or an http(s) link to a ticket; '' if it names none.

    A link shows its ticket as /browse/OPS-12 or /issues/OPS-12, or in a board's `selectedIssue`.
    """
    given = text.strip()
    if is_key(given):
        return given
    try:
        url = urlsplit(given)
    except ValueError:  # a bracket in the host that isn't closed
        return ""
    if url.scheme not in ("http", "https") or not url.netloc:
        return ""
    parts = url.path.split("/")
    named = [part for before, part in pairwise(parts) if before in ("browse", "issues")]
    return next(filter(is_key, [*named, *parse_qs(url.query).get("selectedIssue", [])]), "")
