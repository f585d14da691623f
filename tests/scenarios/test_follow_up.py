"""What comes after a rollback, on the whole daemon: impact, postmortem, ticket, review, marks on the dashboards."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from icalendar import Calendar

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox import adf

PNG = b"\x89PNG\r\n\x1a\n"
TICKET = "canary-watch.io/ticket"
HOURS_48 = 48 * 3600.0


def rolled_back(stage: Stage) -> dict[str, Any]:
    """A bad release that came to its end, on a Deployment with a ticket."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    ticket = stage.jira.add("OPS", "Release 2")
    stage.ship("good:1", annotations={TICKET: f"https://example.atlassian.net/browse/{ticket.key}"})
    stage.start()
    stage.ship("bad:2")
    [case] = stage.closed("verified")
    return case


def files(stage: Stage, ending: str) -> list[bytes]:
    """The files with this ending that are in the thread of the one message."""
    [message] = stage.posted()
    return [f.content for f in stage.slack.files if f.thread_ts == message.ts and f.name.endswith(ending)]


def event(stage: Stage) -> Any:
    """The one event of the one invitation."""
    [invitation] = files(stage, ".ics")
    [found] = Calendar.from_ical(invitation).walk("VEVENT")
    return found


def test_postmortem_ticket_and_review(make_stage: MakeStage) -> None:
    """Filed in Jira with chart, due date and labels; one comment; an invitation; marks and links at the right time."""
    stage = make_stage(policies=("error-rate",))
    case = rolled_back(stage)
    ended = case["steps"]["verify"]["finished"]
    ticket, postmortem = stage.jira.issues
    assert postmortem.summary.startswith("Postmortem (test-cluster, us-east-1): ")
    assert {"canary-watch", "postmortem"} < set(postmortem.labels)
    [chart] = postmortem.attachments.values()
    assert chart.startswith(PNG)
    text = adf.text_of(dict(postmortem.description or {}))
    for part in ("Timeline", "bad:2", "error-rate", "us-east-1", case["id"], "of the requests in"):
        assert part in text
    [comment] = ticket.comments
    said = adf.text_of(dict(comment))
    assert case["id"] in said
    assert "from revision 2 to revision 1" in said
    review = event(stage)
    start = review["DTSTART"].dt
    assert ended < review["DTEND"].dt.timestamp() <= ended + HOURS_48
    assert date.fromisoformat(str(postmortem.due)) == start.astimezone(UTC).date()
    assert files(stage, ".png")[0].startswith(PNG)
    [message] = stage.posted()
    replies = "\n".join(reply.text for reply in stage.thread(message))
    assert f"the postmortem is {postmortem.key}" in replies
    assert f"the rollback is on the deployment ticket {ticket.key}" in replies
    marked_and_linked(stage, case)
    assert stage.vendors.violations == []


def marked_and_linked(stage: Stage, case: dict[str, Any]) -> None:
    """Rollout and rollback are marked in Grafana when they were; the message links the range around them."""
    marks = {kind: mark for mark in stage.grafana.annotations for kind in ("rollout", "rollback") if kind in mark.tags}
    assert len(stage.grafana.annotations) == 2
    at = {"rollout": case["rollout_started"], "rollback": case["steps"]["revert"]["finished"]}
    for kind, mark in marks.items():
        assert abs(mark.time / 1000 - at[kind]) < 1
        assert {"cluster:test-cluster", "region:us-east-1", "deployment:checkout"} <= set(mark.tags)
    [message] = stage.posted()
    [link] = re.findall(r"<([^|>]+)\|Dashboard>", message.text)
    query = parse_qs(urlsplit(link.replace("&amp;", "&")).query)
    assert link.startswith(f"{stage.grafana.url}/d/shop?")
    assert query["var-deployment"] == ["checkout"]
    since, until = (int(query[name][0]) / 1000 for name in ("from", "to"))
    assert since < case["rollout_started"] < case["steps"]["verify"]["finished"] < until < since + 3600


def test_without_jira(make_stage: MakeStage) -> None:
    """The postmortem goes into the thread as Markdown, with the same content, and the invitation beside it."""
    stage = make_stage(policies=("error-rate",), settings={"jira": None})
    case = rolled_back(stage)
    assert stage.jira.requests == []
    [markdown] = files(stage, ".md")
    text = markdown.decode()
    for part in ("# Postmortem (test-cluster, us-east-1)", "Timeline", "bad:2", case["id"], "of the requests in"):
        assert part in text
    assert event(stage)["SUMMARY"].startswith("Blameless review: ")
    assert datetime.now(UTC) < event(stage)["DTSTART"].dt
    [message] = stage.posted()
    assert any("the postmortem is in this thread" in reply.text for reply in stage.thread(message))
    assert stage.vendors.violations == []


def test_under_both_limits(make_stage: MakeStage) -> None:
    """A small and short incident needs no postmortem and no review, which is said; the ticket is commented on."""
    stage = make_stage(policies=("error-rate",), settings={"postmortem": {"longerThan": "1h", "moreThan": "99%"}})
    case = rolled_back(stage)
    assert {name: case["steps"][name]["state"] for name in ("postmortem", "review")} == {
        "postmortem": "skipped",
        "review": "skipped",
    }
    [ticket] = stage.jira.issues
    assert len(ticket.comments) == 1
    assert files(stage, ".ics") == files(stage, ".md") == []
    [message] = stage.posted()
    [said] = [reply.text for reply in stage.thread(message) if "*impact* done" in reply.text]
    assert "no postmortem is due" in said
    assert stage.vendors.violations == []
