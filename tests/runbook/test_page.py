"""The page: noted on an alert's open incident instead, under one key through all turns, and the database team's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.runbook.conftest import ALERT, TOKEN
from tests.runbook.parts import TARGET, decision
from tests.runbook.test_telling import attempt, rolled_back
from watcher.adapters import PagerDutyPager
from watcher.runbook.case import ALARMING, Case, StepRecord
from watcher.runbook.messages import opening_note
from watcher.runbook.page import Page, PageDatabaseTeam
from watcher.runbook.progress import converted
from watcher.runbook.report import Report
from watcher.sandbox.pagerduty import Incident
from watcher.sandbox.pagerduty import PagerDuty as StandIn
from watcher.sandbox.stand_in import Request
from watcher.systems.pagerduty import PagerDuty
from watcher.systems.secret_file import SecretFile

TEAM = "d" * 32


@pytest.fixture
def team(pagerduty: PagerDuty, secret: Callable[[str], SecretFile]) -> PagerDutyPager:
    """PagerDuty where the database team has a service of its own."""
    return PagerDutyPager(pagerduty, can_link=True, alert=ALERT, database_team=secret(TEAM))


def firing(api: StandIn, cluster: str = "prod", region: str = "us-east-1") -> Incident:
    """Open the runbook's alert for shop/checkout."""
    labels = {"alertname": ALERT, "namespace": "shop", "deployment": "checkout", "cluster": cluster, "region": region}
    return api.open_elsewhere(f"[FIRING:1] {ALERT}", "PSERVICE", labels)


def held(reason: str = "paused") -> Case:
    """A hold, opened just now."""
    return replace(rolled_back(), action="Hold", reason=reason, steps={})


def made(case: Case) -> Case:
    """The case with its revert made."""
    case = case.with_step("confirm", StepRecord("done", 1, result=TARGET))
    return case.with_step("revert", rolled_back().step("revert"))


def through(step: Page | PageDatabaseTeam | Report, case: Case) -> Case:
    """The case after as many attempts as the step wants."""
    for _ in range(8):
        if not step.due(case):
            return case
        case = attempt(step, case)
    raise AssertionError("it never ends")


def paged(pager: PagerDutyPager, case: Case) -> Case:
    """The case after both pages, as far as each is due."""
    return through(PageDatabaseTeam(pager), through(Page(pager), case))


def ours(api: StandIn) -> list[Incident]:
    """The incidents that canary-watch has opened for the on-call."""
    return [i for i in api.incidents if i.dedup_key.startswith("prod/") and i.routing_key != TEAM]


def test_an_open_alert_is_noted_on(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Where the alert has an incident open already nobody is paged twice: it is noted there, and linked."""
    alert = firing(pagerduty_api)
    case = through(Page(pager), rolled_back())
    [incident] = pagerduty_api.incidents
    assert (incident.id, incident.notes, len(incident.events)) == (alert.id, (opening_note(case),), 1)
    assert (case.result("page", "url"), case.result("page", "alert")) == (alert.html_url, ALERT)


@pytest.mark.parametrize("outcome", ["verified", "recovered", "overtaken"])
def test_an_alert_resolves_itself(pagerduty_api: StandIn, pager: PagerDutyPager, outcome: str) -> None:
    """The end is noted on the alert's incident, which is another tool's to resolve."""
    firing(pagerduty_api)
    case = replace(through(Page(pager), rolled_back()), outcome=outcome)
    case = through(Report(pager), case)
    [incident] = pagerduty_api.incidents
    assert (incident.status, len(incident.notes), case.result("report", "resolved")) == ("triggered", 2, False)


@pytest.mark.parametrize("outcome", sorted(ALARMING))
def test_a_bad_end_pages_all_the_same(pagerduty_api: StandIn, pager: PagerDutyPager, outcome: str) -> None:
    """Whoever took the alert for taken care of is paged with our own key once a person is needed."""
    firing(pagerduty_api)
    case = replace(through(Page(pager), rolled_back()), outcome=outcome)
    through(Report(pager), case)
    assert [(i.dedup_key, i.status) for i in ours(pagerduty_api)] == [(case.id, "triggered")]


def test_a_bad_end_pages_before_it_notes(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """A REST API that fails, as with a revoked token, keeps no alarm from anybody."""
    firing(pagerduty_api)
    case = replace(through(Page(pager), rolled_back()), outcome="not-verified")
    pagerduty_api.inject("500", prefix="/incidents")
    case = attempt(Report(pager), case)
    assert (bool(case.step("report").error), len(ours(pagerduty_api))) == (True, 1)


def test_the_other_regions_alert_is_not_noted_on(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Clusters that share PagerDuty page for themselves."""
    firing(pagerduty_api, "prod-eu", "eu-west-1")
    case = through(Page(pager), rolled_back())
    assert [i.dedup_key for i in ours(pagerduty_api)] == [case.id]
    assert pagerduty_api.incidents[0].notes == ()


@pytest.mark.parametrize("action", ["Hold", "Escalate"])
def test_only_a_rollback_is_noted(pagerduty_api: StandIn, pager: PagerDutyPager, action: str) -> None:
    """What needs a person is paged, alert or no alert."""
    firing(pagerduty_api)
    through(Page(pager), replace(held(), action=action))  # type: ignore[arg-type]
    assert len(ours(pagerduty_api)) == 1


@pytest.mark.parametrize("mode", ["500", "timeout", "html", "429"])
def test_a_search_that_fails_pages(pagerduty_api: StandIn, pager: PagerDutyPager, mode: str) -> None:
    """Where it can't be told whether the alert is open, a second page is better than none."""
    firing(pagerduty_api)
    pagerduty_api.inject(mode, prefix="/incidents", times=1)  # type: ignore[arg-type]
    case = attempt(Page(pager), rolled_back())
    assert (case.result("page", "paged"), len(ours(pagerduty_api))) == ("RollBack", 1)


def test_a_note_that_was_cut_off_is_found(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """A note whose answer was lost is looked for, and stays one note; nobody is paged for it."""
    firing(pagerduty_api)

    def notes(request: Request) -> bool:
        return request.method == "POST" and request.path.endswith("/notes")

    pagerduty_api.inject("hung-halfway", when=notes, times=1)
    case = attempt(Page(pager), rolled_back())
    assert case.step("page").error
    case = through(Page(pager), case)
    assert (case.result("page", "alert"), len(pagerduty_api.incidents[0].notes)) == (ALERT, 1)
    assert ours(pagerduty_api) == []


def test_a_hold_that_becomes_a_rollback_keeps_its_incident(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Paged as a hold, it goes on under that incident and resolves it, though the alert has come up since."""
    case = through(Page(pager), held())
    firing(pagerduty_api)
    case = made(converted(case, decision()))
    case = through(Page(pager), case)
    assert (case.result("page", "alert"), len(ours(pagerduty_api)[0].events)) == (None, 2)
    through(Report(pager), replace(case, outcome="verified"))
    assert [i.status for i in ours(pagerduty_api)] == ["resolved"]


def test_a_page_whose_answer_was_lost_is_not_left_behind(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """A hold's page that may have got through is gone on with, whatever alert is open when the case has turned."""
    pagerduty_api.inject("hung-halfway", prefix="/v2/enqueue", times=1)
    case = attempt(Page(pager), held())
    assert case.step("page").error
    firing(pagerduty_api)
    case = through(Page(pager), made(converted(case, decision())))
    through(Report(pager), replace(case, outcome="verified"))
    assert [i.status for i in ours(pagerduty_api)] == ["resolved"]


def test_a_breach_after_recovery_is_another_incident(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """The first one was resolved: the second is paged anew, and it is the second that is linked."""
    case = replace(through(Page(pager), held()), outcome="recovered")
    case = through(Report(pager), case)
    case = through(Page(pager), made(converted(case, decision())))
    first, second = ours(pagerduty_api)
    assert (first.status, second.status) == ("resolved", "triggered")
    assert case.result("page", "url") == second.html_url


def test_what_was_put_back_goes_on_with_its_incident(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """The rollback that another controller undid is one incident with what follows from it."""
    first = replace(through(Page(pager), rolled_back()), outcome="overtaken")
    through(Report(pager), first)
    again = replace(held("put-back"), action="Escalate", bad=4, id=f"{first.id}-4", incident=first.id)
    case = through(Page(pager), again)
    [incident] = pagerduty_api.incidents
    assert (len(incident.events), case.result("page", "url")) == (2, incident.html_url)


def test_the_database_team_is_paged_at_once(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """A hold for its migration pages the on-call and the database team, each at their service, each once."""
    paged(team, held("irreversible-migration"))
    assert [(i.routing_key == TEAM, len(i.events)) for i in pagerduty_api.incidents] == [(False, 1), (True, 1)]
    assert "database team needed" in pagerduty_api.incidents[1].summary


def test_the_database_team_is_paged_when_it_comes_to_be_needed(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """A way back that fails after the page was done pages it then, and the on-call not once more."""
    case = paged(team, rolled_back())
    failed = case.with_step("migrate", StepRecord("done", 1, result={"failed": True, "said": "the Job failed"}))
    case = replace(failed, outcome="migration-failed")
    case = paged(team, case)
    assert [(i.routing_key == TEAM, len(i.events)) for i in pagerduty_api.incidents] == [(False, 1), (True, 1)]
    assert case.step("page").state == "done"


def test_a_wrong_key_of_the_teams_holds_up_nobody_else(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """The team's page that fails is a step of its own: the on-call's page is through, and so is what waits for it."""
    pagerduty_api.inject("500", when=lambda request: TEAM.encode() in request.body)
    case = through(Page(team), held("irreversible-migration"))
    case = attempt(PageDatabaseTeam(team), case)
    assert (case.step("page").state, bool(case.step("database-team").error)) == ("done", True)
    pagerduty_api.recover()
    through(PageDatabaseTeam(team), case)
    assert [i.routing_key == TEAM for i in pagerduty_api.incidents] == [False, True]


def test_an_incident_that_takes_no_note_pages_anew(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Where nothing can be noted on the alert's incident, somebody is paged all the same."""
    firing(pagerduty_api)
    pagerduty_api.inject("500", when=lambda request: request.path.endswith("/notes"))
    case = rolled_back()
    for _ in range(3):
        case = attempt(Page(pager), case)
    assert len(ours(pagerduty_api)) == 1


def test_without_its_own_service_the_on_call_is_paged_alone(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Where the database team has no routing key, it is tagged, and nothing waits for a page."""
    case = paged(pager, held("irreversible-migration"))
    assert (len(pagerduty_api.incidents), case.step("page").state) == (1, "done")


def test_the_database_teams_incident_ends_with_its_need(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """Called for a schema that couldn't be read, it is let go once the rollback that followed is verified."""
    case = paged(team, held("schema-unreadable"))
    case = paged(team, made(converted(case, decision())))
    through(Report(team), replace(case, outcome="verified"))
    assert [i.status for i in pagerduty_api.incidents] == ["resolved", "resolved"]


def test_what_is_left_stays_the_database_teams(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """A schema that the policy has left as it is stays theirs, though the rollback itself is verified."""
    left = rolled_back().with_step("plan", StepRecord("done", 1, result={"carried": True, "left": True, "from": "8"}))
    case = paged(team, left)
    through(Report(team), replace(case, outcome="verified"))
    assert [i.status for i in pagerduty_api.incidents] == ["resolved", "triggered"]


def test_nothing_secret_is_in_what_is_sent_or_kept(pagerduty_api: StandIn, team: PagerDutyPager) -> None:
    """Neither routing keys nor the token are in the case, its error, or any text that PagerDuty shows."""
    pagerduty_api.inject("500", prefix="/v2/enqueue", times=1)
    case = attempt(Page(team), held("irreversible-migration"))
    case = paged(team, case)
    shown = case.write() + "".join(str(event["payload"]) for i in pagerduty_api.incidents for event in i.events)
    for secret in (TEAM, "r" * 32, TOKEN):
        assert secret not in shown
