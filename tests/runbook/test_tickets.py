"""A ticket's key, out of what people write into the annotation."""

from __future__ import annotations

import pytest

from watcher.runbook.tickets import is_key, key_of


@pytest.mark.parametrize("text", ["OPS-12", "A1-1", "SHOP_WAVE-100000"])
def test_a_key_is_a_project_a_dash_and_a_number(text: str) -> None:
    """What Jira gives out as keys is one."""
    assert is_key(text)
    assert key_of(text) == text


@pytest.mark.parametrize(
    "text", ["", "OPS", "OPS-", "-12", "ops-12", "A-1", "1A-1", "OPS-1a", "OPS-١", "OPS-12\n", " OPS-12", "../OPS-12"]
)
def test_anything_else_is_no_key(text: str) -> None:
    """Nothing goes into an address of Jira's that isn't exactly a key."""
    assert not is_key(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (" OPS-12\n", "OPS-12"),
        ("https://x.atlassian.net/browse/OPS-12", "OPS-12"),
        ("https://x.atlassian.net/browse/OPS-12/", "OPS-12"),
        ("https://x.atlassian.net/browse/OPS-12?focusedCommentId=100#comment-100", "OPS-12"),
        ("http://jira.example.com:8080/jira/browse/OPS-12", "OPS-12"),
        ("https://x.atlassian.net/jira/software/c/projects/OPS/issues/OPS-12", "OPS-12"),
        ("https://x.atlassian.net/jira/software/projects/OPS/boards/7?selectedIssue=OPS-12", "OPS-12"),
        ("https://x.atlassian.net/browse/OPS", ""),
        ("https://x.atlassian.net/projects/OPS-12", ""),
        ("https://x.atlassian.net/browse/ops-12", ""),
        ("https://[x/browse/OPS-12", ""),
        ("ftp://x.example.com/browse/OPS-12", ""),
        ("/browse/OPS-12", ""),
        ("see OPS-12", ""),
        ("", ""),
    ],
)
def test_a_link_gives_its_key(text: str, key: str) -> None:
    """A link to a ticket is as good as its key; what names none, or only perhaps one, gives none."""
    assert key_of(text) == key
