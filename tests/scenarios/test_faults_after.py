"""The fault matrix on the whole daemon, of what follows a rollback: Jira, Grafana, notes, files and look-ups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import done_once, filed_once, incidents_of, paged_once
from tests.scenarios.kills import Shipped, about, calls, killed_stage, ship_bad, ship_good
from tests.scenarios.stage import Stage
from tests.scenarios.test_faults import MODES, case_of, deployment_for, error_of, has_met, told
from tests.scenarios.test_migrations import DATABASE_TEAM, EXPECTS, REVERSIBLE
from watcher.sandbox.stand_in import Mode, Request, StandIn

SHAPE = {"issues": 7, "key": 5, "id": [], "ok": "yes", "incidents": 7}
LATER: Sequence[tuple[str, Mode]] = (
    ("/attachments", "timeout"),
    ("/attachments", "hung-halfway"),
    ("/comment", "hung-halfway"),
    ("/comment", "500"),
)
PATIENCE = 120.0  # seconds: what may have been filed is looked for once Jira's search would know it


@pytest.mark.timeout(400)
def test_jira_and_grafana_fail(make_stage: MakeStage) -> None:
    """However both fail, rollbacks go on, PagerDuty and Slack are told; later all that is missing is filed once."""
    stage = killed_stage(make_stage)
    failing, refused = [deployment_for(mode) for mode in MODES[1:]], deployment_for("refused")
    later = {f"later-{number}": row for number, row in enumerate(LATER)}
    ship_good(stage, [refused, *failing, *later], Shipped())
    stage.start()
    for mode in MODES[1:]:
        for system in (stage.jira, stage.grafana):
            system.inject(mode, when=only(stage, deployment_for(mode), _posts), shape=SHAPE)
    for of, (path, mode) in later.items():
        stage.jira.inject(mode, when=only(stage, of, calls("POST", path)), times=1)
    ship_bad(stage, [*failing, *later], Shipped())
    goes_on(stage, [*failing, *later])
    for mode in MODES[1:]:
        of = deployment_for(mode)
        stuck(stage, of, "postmortem")
        for system in (stage.jira, stage.grafana):
            stage.until(lambda system=system, mode=mode, of=of: has_met(system, mode, of), f"{of} meets {mode}")  # type: ignore[misc]
    for of in later:
        closed(stage, of)
    stage.jira.inject("refused")
    stage.grafana.inject("refused")
    ship_bad(stage, [refused], Shipped())
    goes_on(stage, [refused])
    stuck(stage, refused, "postmortem")
    stuck(stage, refused, "dashboard")
    stage.jira.recover()
    stage.grafana.recover()
    for of in (refused, *failing, *later):
        closed(stage, of)
        done_once(stage, of, of, ("ticket",))
        filed_once(stage, of, of)
        paged_once(stage, of, of)
    assert stage.vendors.violations == []


@pytest.mark.timeout(300)
def test_notes_pages_files_and_look_ups_fail(make_stage: MakeStage) -> None:
    """Whatever fails of what tells people more than one message, it is delivered once; look-ups are done without."""
    part = f"{{version: {{annotation: {EXPECTS}}}, down: {{command: [migrate, $version]}}, irreversible: revert}}"
    stage = killed_stage(make_stage, spec={"migrations": part})
    names = {deployment_for(mode): mode for mode in MODES[1:]}
    shipped = Shipped({EXPECTS: "1"}, {of: {EXPECTS: "2", REVERSIBLE: "false"} for of in names})
    ship_good(stage, names, shipped)
    stage.start()
    for of, mode in names.items():
        said = {"namespace": stage.namespace, "deployment": of, "cluster": "test-cluster"}
        stage.pagerduty.open_elsewhere(f"svc-error-rate {of}", "PSERVICE", said)
        for system, call in told_by(stage):
            system.inject(mode, when=only(stage, of, call), times=1, shape=SHAPE)
    stage.slack.inject("500", when=calls("POST", "users.lookupByEmail"))
    ship_bad(stage, names, shipped)
    for of, mode in names.items():
        closed(stage, of)
        done_once(stage, of, of, ("plan", "database-team", "ticket"))
        filed_once(stage, of, of)
        [alert] = [i for i in stage.pagerduty.incidents if i.summary == f"svc-error-rate {of}"]
        assert (len(alert.notes), alert.status) == (2, "triggered"), of
        [team] = incidents_of(stage, of)
        assert (team.routing_key[0], team.status) == ("d", "triggered"), of
        [message] = [m for m in stage.posted() if f"`{of}`" in m.text]
        assert DATABASE_TEAM in message.text
        assert "<!subteam^S0123ABCD>" in message.text, "who is on call can't be looked up: the contact is tagged"
        met = [r for system in (stage.pagerduty, stage.slack) for one, r in system.met if one == mode]
        assert len([r for r in met if "lookupByEmail" not in r.path]) == len(told_by(stage)), mode
    assert stage.vendors.violations == []


def told_by(stage: Stage) -> list[tuple[StandIn, Callable[[Request], bool]]]:
    """The calls that tell people more than the message does."""
    return [
        (stage.pagerduty, calls("POST", "/notes")),
        (stage.pagerduty, calls("POST", "/v2/enqueue", "d" * 32)),
        (stage.slack, calls("POST", "chat.postMessage", "thread_ts")),
        (stage.slack, calls("POST", "files.getUploadURLExternal", ".png")),
        (stage.slack, calls("POST", "files.completeUploadExternal", "error-rate")),
        (stage.slack, calls("POST", "files.getUploadURLExternal", ".ics")),
    ]


def only(stage: Stage, of: str, call: Callable[[Request], bool]) -> Callable[[Request], bool]:
    """Pick such requests that are about a Deployment."""
    return lambda request: call(request) and about(stage, request, of)


def _posts(request: Request) -> bool:
    return request.method == "POST"


def goes_on(stage: Stage, names: Iterable[str]) -> None:
    """Each Deployment is rolled back and verified all the same, and PagerDuty and Slack are told."""
    for of in names:
        stage.until(lambda of=of: outcome(stage, of) == "verified", f"{of} is verified all the same", PATIENCE)  # type: ignore[misc]
        stage.until(lambda of=of: told(stage, of) == (1, 1), f"PagerDuty and Slack are told of {of}")  # type: ignore[misc]


def outcome(stage: Stage, of: str) -> str:
    """What has become of a Deployment's case so far."""
    return str(case_of(stage, of)["outcome"])


def stuck(stage: Stage, of: str, step: str) -> None:
    """A step of a case fails, and so it is kept open."""
    stage.until(lambda: error_of(stage, of, step), f"the {step} step of {of} fails")
    assert case_of(stage, of)["closed"] is None, of


def closed(stage: Stage, of: str) -> None:
    """The Deployment's case comes to its end, verified."""
    stage.until(lambda: case_of(stage, of)["closed"], f"the case of {of} is closed", PATIENCE)
    assert case_of(stage, of)["outcome"] == "verified", of
