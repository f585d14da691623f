"""Jira's adapter against its stand-in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import MappingProxyType

import pytest

from tests.systems.jira_site import CALLS, LABEL, NEW, TOKEN, Site, document, open_site
from watcher.sandbox.stand_in import Dropped, Request
from watcher.systems import jira as adapter
from watcher.systems.fault import Fault
from watcher.systems.jira import Jira, Ticket
from watcher.systems.secret_file import SecretFile


@pytest.fixture
def site(secret: Callable[[str, str], SecretFile]) -> Iterator[Site]:
    """A site with the ticket OPS-1."""
    with open_site(secret) as site:
        yield site


def test_a_ticket_from_filing_to_its_attachment(site: Site) -> None:
    """A ticket is filed, found by its label, commented and given a file, all within the documented rules."""
    jira = site.jira
    assert jira.find("OPS", LABEL) is None
    ticket = jira.create(NEW)
    assert ticket == Ticket("OPS-2", f"{site.api.url}/browse/OPS-2")
    assert jira.find("OPS", LABEL) == ticket
    jira.comment("OPS-2", document("Rolled back.", "case-1"))
    assert jira.comments_with("OPS-2", "case-1")
    assert not jira.comments_with("OPS-2", "case-2")
    content = bytes(range(256)) * 40
    jira.attach("OPS-2", "chart ü.png", content, "image/png")
    assert jira.attachments("OPS-2") == {"chart ü.png"}
    issue = site.api.issues[-1]
    assert (issue.summary, issue.labels, issue.due) == (NEW.summary, NEW.labels, NEW.due)
    assert issue.description == NEW.description
    assert issue.comments == (document("Rolled back.", "case-1"),)
    assert issue.attachments == {"chart ü.png": content}
    assert site.api.violations == []


def test_a_personal_access_token_does_without_an_address(site: Site) -> None:
    """Without an e-mail the token goes as a bearer token."""
    site.api.email = ""
    assert Jira(dataclasses.replace(site.settings, email=None)).find("OPS", LABEL) is None
    assert site.api.requests[-1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert site.api.violations == []


def test_a_ticket_without_a_due_date_says_nothing_of_one(site: Site) -> None:
    """A project whose create screen lacks the field takes a ticket that doesn't name it."""
    site.api.without_due.add("OPS")
    site.jira.create(dataclasses.replace(NEW, due=None, description=MappingProxyType(NEW.description)))
    assert site.api.issues[-1].due is None
    assert site.api.violations == []


def test_the_oldest_ticket_with_the_label_is_found(site: Site) -> None:
    """Of two tickets with the label the first counts, in its own project; a slash at the address's end is no harm."""
    site.api.projects["DEV"] = ("Task",)
    site.api.add("DEV", "elsewhere", (LABEL,))
    first = site.api.add("OPS", "one", ("other", LABEL))
    site.api.add("OPS", "two", (LABEL,))
    found = site.at(f"{site.api.url}/").find("OPS", LABEL)
    assert found == Ticket(first.key, f"{site.api.url}/browse/{first.key}")


def test_a_ticket_that_search_does_not_show_yet_is_not_found(site: Site) -> None:
    """Search lags behind at Atlassian: None says that none is shown, and may change."""
    site.api.index_lag = 3600
    site.jira.create(NEW)
    assert site.jira.find("OPS", LABEL) is None
    site.api.index_lag = 0
    assert site.jira.find("OPS", LABEL) is not None


@pytest.mark.parametrize("label", ['x" OR project = "DEV', "back\\slash", 'both\\"', "new\nline", "ümläut", "\u2028"])
def test_no_label_breaks_out_of_the_query(site: Site, label: str) -> None:
    """A label with quotes, backslashes or control characters is looked for as it is, and asks nothing else."""
    wanted = site.api.add("OPS", "wanted", (label,))
    site.api.add("OPS", "other", (LABEL,))
    found = site.jira.find("OPS", label)
    assert found is not None
    assert found.key == wanted.key
    assert site.api.violations == []


@pytest.mark.parametrize(
    ("summary", "kept"),
    [
        ("two\nlines,\r\n tabs\t and   gaps", "two lines, tabs and gaps"),
        ("x" * 255, "x" * 255),
        ("x" * 300, "x" * 254 + "…"),
        ("🚨" * 200, "🚨" * 127 + "…"),
    ],
    ids=["lines", "just", "long", "emoji"],
)
def test_a_summary_is_one_line_that_jira_takes(site: Site, summary: str, kept: str) -> None:
    """Whatever the summary, it fits: 255 UTF-16 units at most, never half an emoji."""
    site.jira.create(dataclasses.replace(NEW, summary=summary))
    assert site.api.issues[-1].summary == kept
    assert site.api.violations == []


def test_a_marker_is_found_on_the_last_page(site: Site) -> None:
    """A ticket with many comments is read page by page, newest first, and only as far as needed."""
    chatter = tuple(document("chatter") for _ in range(250))
    [issue] = site.api.issues
    site.api.issues = (dataclasses.replace(issue, comments=(document("case-1"), *chatter)),)
    assert site.jira.comments_with(site.ticket, "case-1")
    assert len(site.api.requests) == 3
    assert not site.jira.comments_with(site.ticket, "case-2")
    assert len(site.api.requests) == 6
    site.jira.comment(site.ticket, document("case-2"))
    assert site.jira.comments_with(site.ticket, "case-2")
    assert len(site.api.requests) == 8
    assert site.api.violations == []


def test_a_marker_is_found_in_any_text_of_a_document(site: Site) -> None:
    """Text in a table counts, and text that formatting cuts in pieces; attributes and two blocks together don't."""
    pieces = [{"type": "text", "text": "ca"}, {"type": "text", "text": "se-1", "marks": [{"type": "strong"}]}]
    link = [{"type": "link", "attrs": {"href": "https://example.com/case-7"}}]
    paragraphs = [
        {"type": "paragraph", "content": pieces},
        {"type": "paragraph", "content": [{"type": "text", "text": "0", "marks": link}]},
    ]
    row = {"type": "tableRow", "content": [{"type": "tableCell", "content": paragraphs}]}
    site.jira.comment(site.ticket, {"version": 1, "type": "doc", "content": [{"type": "table", "content": [row]}]})
    assert site.jira.comments_with(site.ticket, "case-1")
    assert not site.jira.comments_with(site.ticket, "case-10")
    assert not site.jira.comments_with(site.ticket, "case-7")
    assert site.api.violations == []


def test_reading_comments_is_bounded(site: Site) -> None:
    """A ticket that always claims more comments ends in a fault, not in requests without end, and never in False."""
    page = {"startAt": 0, "maxResults": 100, "total": 10**9, "comments": [{"body": document("chatter")}]}
    site.api.inject("wrong-shape", shape=page)
    with pytest.raises(Fault, match="the comments of OPS-1 are too many, or come too slowly"):
        site.jira.comments_with(site.ticket, "case-1")
    assert len(site.api.requests) <= adapter.COMMENTS_PAGES


@pytest.mark.parametrize("key", ["", "OPS", "ops-1", "OPS-1/../../user", "OPS-1?x=", "https://x/browse/OPS-1"])
@pytest.mark.parametrize("call", list(CALLS.values())[2:], ids=list(CALLS)[2:])
def test_what_is_no_key_is_not_asked_for(call: Callable[[Jira, str], object], key: str, site: Site) -> None:
    """An annotation's odd text never becomes part of an address."""
    with pytest.raises(Fault, match="is no ticket's key: one looks like OPS-12") as raised:
        call(site.jira, key)
    assert raised.value.lasting
    assert site.api.requests == []


def _drop(request: Request) -> None:
    raise Dropped


def test_a_ticket_whose_answer_was_lost_can_be_found(site: Site) -> None:
    """After a failed filing, `find` tells whether the ticket was filed after all, so that it need not be twice."""
    site.api.after = _drop
    with pytest.raises(Fault):
        site.jira.create(NEW)
    site.api.after = lambda request: None
    assert site.jira.find("OPS", LABEL) == Ticket("OPS-2", f"{site.api.url}/browse/OPS-2")


def test_changed_credentials_count_at_once(site: Site, secret: Callable[[str, str], SecretFile]) -> None:
    """A token that was revoked and replaced, and another account, work without a restart."""
    site.api.token, site.api.email = "new-token", "new@example.com"
    jira = site.jira
    with pytest.raises(Fault, match="HTTP 401"):
        jira.create(NEW)
    secret("jira-token", "new-token")
    secret("jira-email", "new@example.com")
    assert jira.create(NEW).key == "OPS-2"


def test_no_proxy_is_taken_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy meant for something else sees no token of ours."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert site.jira.find("OPS", LABEL) is None
