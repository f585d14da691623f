"""The chart in the thread: once, at the right time, and never in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.runbook.parts import NOW
from tests.runbook.test_telling import CONTACTS, asked, attempt, paged, rolled_back
from watcher.adapters import SlackAnnouncer
from watcher.judgement.impact import Impact
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case
from watcher.runbook.progress import record_try
from watcher.runbook.thread import CHART_ATTEMPTS, ChartInThread, chart_name
from watcher.sandbox.slack import Slack
from watcher.systems.fault import Fault

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def said(announcer: SlackAnnouncer) -> Case:
    """A rollback whose message is in the channel."""
    return attempt(Announce(announcer, CONTACTS), paged(rolled_back()))


@dataclass
class Drawn:
    """Figures whose chart is this, or fails."""

    image: bytes | None = PNG
    fault: Fault | None = None

    def chart(self, case: Case, until: float) -> bytes | None:
        """The chart."""
        if self.fault:
            raise self.fault
        return self.image

    def impact(self, case: Case, until: float) -> Impact:
        """Nobody asks."""
        raise AssertionError


def test_the_chart_is_put_there_at_the_end(slack_api: Slack, announcer: SlackAnnouncer, said: Case) -> None:
    """A rollback's chart waits for its end; a hold's doesn't. It says which check, Deployment, cluster and region."""
    step = ChartInThread(announcer, Drawn())
    assert not step.due(said)
    assert step.due(replace(said, action="Hold"))
    case = attempt(step, replace(said, outcome="verified"))
    [file] = slack_api.files
    assert (file.name, file.content, file.thread_ts) == (chart_name(case), PNG, slack_api.top[0].ts)
    assert file.title == "errors: shop/checkout in prod (us-east-1)"
    assert not step.due(case)


@pytest.mark.parametrize("leg", ["/api/files.getUploadURLExternal", "/upload/v1/", "/api/files.completeUploadExternal"])
def test_an_upload_that_was_cut_off_comes_once(
    slack_api: Slack, announcer: SlackAnnouncer, said: Case, leg: str
) -> None:
    """Whichever leg of the upload loses its answer, one chart is in the thread in the end."""
    step = ChartInThread(announcer, Drawn())
    slack_api.inject("hung-halfway", prefix=leg, times=1)
    case = attempt(step, replace(said, outcome="verified"))
    assert case.step("chart").error
    assert attempt(step, case).step("chart").state == "done"
    assert len(slack_api.files) == 1


def test_a_crash_after_the_upload_uploads_nothing_more(slack_api: Slack, announcer: SlackAnnouncer, said: Case) -> None:
    """An upload that was made and not recorded is found by the file's name."""
    step, case = ChartInThread(announcer, Drawn()), replace(said, outcome="verified")
    written = record_try(case, "chart", NOW)
    step.carry_out(written, NOW)
    assert attempt(step, written).result("chart", "file") == chart_name(case)
    assert (len(slack_api.files), asked(slack_api, "files.completeUploadExternal")) == (1, 1)


def test_a_chart_that_cannot_be_had_keeps_no_case_open(announcer: SlackAnnouncer, said: Case) -> None:
    """After some failures, of Prometheus or of Slack, the case goes on without; so it does without series."""
    step, case = ChartInThread(announcer, Drawn(fault=Fault("Prometheus", "HTTP 500"))), replace(said, outcome="x")
    for _ in range(CHART_ATTEMPTS):
        assert step.due(case)
        case = attempt(step, case)
    assert case.step("chart").state == "skipped"
    assert attempt(ChartInThread(announcer, Drawn(None)), replace(said, outcome="x")).step("chart").state == "skipped"
