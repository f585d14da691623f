"""The daemon is killed with SIGKILL at each boundary after the verification: each thing is filed once and told once."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import done_once, filed_once, files_of, paged_once
from tests.scenarios.kills import (
    Boundary,
    calls,
    case_with,
    deployments_of,
    killed_stage,
    play,
    step,
)
from watcher.sandbox.stand_in import Request

EVENTS, NOTES, COMMENT = "/v2/enqueue", "/notes", "/comment"
CREATE = calls("POST", "/rest/api/3/issue")
ATTACH = calls("POST", "/attachments")
ANNOUNCE_FILE, SHARE_FILE = "files.getUploadURLExternal", "files.completeUploadExternal"
CHART, INVITATION, MARKDOWN = ".png", "Blameless", "postmortem-"


def closing(request: Request) -> bool:
    """The case is written as closed."""
    return case_with(lambda case: case["closed"])(request)


FILES = [
    Boundary("when chart is about to be tried", "gate", step("chart", "trying"), "after"),
    Boundary("before the chart is announced", "slack", calls("POST", ANNOUNCE_FILE, CHART), "before"),
    Boundary("after the chart is announced", "slack", calls("POST", ANNOUNCE_FILE, CHART), "after"),
    Boundary("before the chart is shared", "slack", calls("POST", SHARE_FILE, "error-rate"), "before"),
    Boundary("after the chart is shared", "slack", calls("POST", SHARE_FILE, "error-rate"), "after"),
    Boundary("when chart is recorded", "gate", step("chart", "done"), "after"),
    Boundary("before the invitation is shared", "slack", calls("POST", SHARE_FILE, INVITATION), "before"),
    Boundary("after the invitation is shared", "slack", calls("POST", SHARE_FILE, INVITATION), "after"),
    Boundary("when review is recorded", "gate", step("review", "done"), "after"),
]
TOLD = [
    Boundary("when verify is recorded", "gate", step("verify", "done"), "after"),
    Boundary("before impact is recorded", "gate", step("impact", "done"), "before"),
    Boundary("when impact is recorded", "gate", step("impact", "done"), "after"),
    Boundary("before the incident is resolved", "pagerduty", calls("POST", EVENTS, '"resolve"'), "before"),
    Boundary("after the incident is resolved", "pagerduty", calls("POST", EVENTS, '"resolve"'), "after"),
    Boundary("before the note", "pagerduty", calls("POST", NOTES), "before"),
    Boundary("after the note", "pagerduty", calls("POST", NOTES), "after"),
    Boundary("when report is recorded", "gate", step("report", "done"), "after"),
    Boundary("before the edit", "slack", calls("POST", "chat.update", "Verified"), "before"),
    Boundary("after the edit", "slack", calls("POST", "chat.update", "Verified"), "after"),
    Boundary("before the last reply", "slack", calls("POST", "chat.postMessage", "report/done"), "before"),
    Boundary("after the last reply", "slack", calls("POST", "chat.postMessage", "report/done"), "after"),
    Boundary("before the case is closed", "gate", closing, "before"),
    Boundary("when the case is closed", "gate", closing, "after"),
]
FILED = [
    Boundary("when postmortem is about to be tried", "gate", step("postmortem", "trying"), "after"),
    Boundary("before the postmortem is filed", "jira", CREATE, "before"),
    Boundary("after the postmortem is filed", "jira", CREATE, "after"),
    Boundary("when the postmortem's key is recorded", "gate", step("postmortem", "waiting"), "after"),
    Boundary("before the chart is attached", "jira", ATTACH, "before"),
    Boundary("after the chart is attached", "jira", ATTACH, "after"),
    Boundary("when postmortem is recorded", "gate", step("postmortem", "done"), "after"),
    Boundary("when ticket is about to be tried", "gate", step("ticket", "trying"), "after"),
    Boundary("before the comment", "jira", calls("POST", COMMENT), "before"),
    Boundary("after the comment", "jira", calls("POST", COMMENT), "after"),
    Boundary("when ticket is recorded", "gate", step("ticket", "done"), "after"),
]
MARKDOWNS = [
    Boundary("when postmortem is about to be tried", "gate", step("postmortem", "trying"), "after"),
    Boundary("before the postmortem is announced", "slack", calls("POST", ANNOUNCE_FILE, MARKDOWN), "before"),
    Boundary("before the postmortem is shared", "slack", calls("POST", SHARE_FILE, "Postmortem"), "before"),
    Boundary("after the postmortem is shared", "slack", calls("POST", SHARE_FILE, "Postmortem"), "after"),
    Boundary("when postmortem is recorded", "gate", step("postmortem", "done"), "after"),
]


@pytest.mark.timeout(400)
def test_killed_while_it_is_filed(make_stage: MakeStage) -> None:
    """One postmortem, its chart and one comment are in Jira, whose search is slow to know what was just filed."""
    stage = killed_stage(make_stage)
    stage.jira.index_lag = 20.0
    boundaries = deployments_of(FILED)
    play(stage, boundaries)
    for name, boundary in boundaries.items():
        done_once(stage, name, boundary.name, ("ticket",))
        filed_once(stage, name, boundary.name)
        paged_once(stage, name, boundary.name)
    assert len(stage.jira.issues) == 2 * len(boundaries), "a deployment ticket and a postmortem for each"
    assert stage.vendors.violations == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rows", [FILES + MARKDOWNS, TOLD], ids=["files", "told"])
def test_killed_after_the_verification(make_stage: MakeStage, rows: list[Boundary]) -> None:
    """Without Jira: each file is in the thread once, each reply, note and edit is made once, the case is closed."""
    stage = killed_stage(make_stage, jira=False)
    boundaries = deployments_of(rows)
    play(stage, boundaries)
    for name, boundary in boundaries.items():
        done_once(stage, name, boundary.name)
        kinds = [file.rpartition(".")[2] for file in files_of(stage, name)]
        assert kinds == ["png", "md", "ics"], f"{boundary.name}: each file once"
        paged_once(stage, name, boundary.name)
    assert stage.vendors.violations == []
