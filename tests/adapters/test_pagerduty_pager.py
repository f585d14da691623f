"""PagerDuty as the steps see it: the alert that is open already, our own incidents, and the database team's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.adapters.conftest import EU, US, case_in
from tests.systems.credentials import API_TOKEN, ROUTING_KEY
from tests.systems.pagerduty_office import OTHER_KEY
from watcher.adapters import PagerDutyPager
from watcher.runbook import messages
from watcher.runbook.case import Case
from watcher.sandbox.pagerduty import Incident
from watcher.sandbox.pagerduty import PagerDuty as StandIn
from watcher.sandbox.stand_in import Request
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile

ALERT = "svc-error-rate"


@pytest.fixture
def pager(pagerduty: PagerDuty, secret: Callable[[str], SecretFile]) -> PagerDutyPager:
    """As the daemon of a cluster makes it."""
    team = secret(OTHER_KEY)
    return PagerDutyPager(pagerduty, can_link=True, alert=ALERT, service_id="PSHOP", database_team=team)


def firing(
    api: StandIn,
    place: tuple[str, str] = US,
    *,
    title: str = f"[FIRING:1] {ALERT}",
    service: str = "PSHOP",
    **more: Any,
) -> Incident:
    """Alertmanager's incident about shop/checkout in a cluster."""
    labels = {"alertname": ALERT, "namespace": "shop", "deployment": "checkout", "cluster": place[0], **more}
    return api.open_elsewhere(title, service, labels)


def page(pager: PagerDutyPager, case: Case) -> None:
    """Page as the step does."""
    pager.page(case, messages.summary(case), messages.details(case))


def test_finds_the_alert_that_is_open(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """The incident of the runbook's alert for this Deployment is found, with its address and its name."""
    firing(pagerduty_api, title="[FIRING:1] svc-latency-p99", alertname="svc-latency-p99")
    mine = firing(pagerduty_api)
    assert pager.open_alert(case_in(US)) == {"id": mine.id, "url": mine.html_url, "alert": ALERT}


def test_the_other_regions_alert_is_not_taken(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Two clusters share the service: an alert of the one is no reason for the other not to page."""
    theirs = firing(pagerduty_api, EU)
    assert pager.open_alert(case_in(US)) is None
    found = pager.open_alert(case_in(EU))
    assert found is not None
    assert found["id"] == theirs.id


@pytest.mark.parametrize(
    "other",
    [{"deployment": "checkout-worker"}, {"namespace": "shop-eu"}, {"service": "PDATA"}],
    ids=["deployment", "namespace", "service"],
)
def test_somebody_elses_alert_is_not_taken(
    pagerduty_api: StandIn, pager: PagerDutyPager, other: dict[str, Any]
) -> None:
    """Another Deployment's, another namespace's or another service's alert isn't ours."""
    firing(pagerduty_api, **other)
    assert pager.open_alert(case_in(US)) is None


def test_any_service_will_do_where_none_is_named(pagerduty_api: StandIn, pagerduty: PagerDuty) -> None:
    """Without a service in the config the alert is looked for on all of them."""
    theirs = firing(pagerduty_api, service="PDATA")
    found = PagerDutyPager(pagerduty, can_link=True, alert=ALERT).open_alert(case_in(US))
    assert found is not None
    assert found["id"] == theirs.id


def test_an_old_incident_is_not_taken(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """One that was opened days before the case isn't about its rollout."""
    firing(pagerduty_api)
    later = case_in(US)
    assert pager.open_alert(replace(later, opened=later.opened + 2 * 86400.0)) is None


def test_our_own_incident_is_no_alert(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """What we opened about another revision isn't the alert's, though the policy has the alert's name."""
    before = replace(case_in(US), policy=ALERT, bad=1, id=case_in(US).id.replace("/r2-", "/r1-"))
    page(pager, before)
    assert ALERT in str(pagerduty_api.incidents[0].events)
    assert pager.open_alert(case_in(US)) is None


def test_without_an_alerts_name_nobody_is_asked(pagerduty_api: StandIn, pagerduty: PagerDuty) -> None:
    """Where the config names no alert there is none to look for."""
    assert PagerDutyPager(pagerduty, can_link=True).open_alert(case_in(US)) is None
    assert pagerduty_api.requests == []


@pytest.mark.parametrize("mode", ["500", "timeout", "html", "429"])
def test_a_failing_search_is_a_fault(pagerduty_api: StandIn, pager: PagerDutyPager, mode: str) -> None:
    """The step is told that it can't be known, and not that there is none."""
    pagerduty_api.inject(mode, prefix="/incidents", times=1)  # type: ignore[arg-type]
    with pytest.raises(Fault):
        pager.open_alert(case_in(US))


def test_the_search_is_bounded(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Among very many open incidents only the newest are read, those whose title names the alert first."""
    mine = firing(pagerduty_api)
    for number in range(30):
        pagerduty_api.open_elsewhere(f"something else {number}", "PSHOP", {"deployment": "cart"})
    found = pager.open_alert(case_in(US))
    assert found is not None
    assert found["id"] == mine.id
    pagerduty_api.requests.clear()
    assert pager.open_alert(case_in(US, "pay")) is None
    assert sum(1 for request in pagerduty_api.requests if request.path.endswith("/alerts")) == 20


def test_the_search_is_over_in_its_time(
    pagerduty_api: StandIn, pager: PagerDutyPager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No incident is read after it: a page is better late than never, and better now than late."""
    firing(pagerduty_api)
    monkeypatch.setattr("watcher.adapters.pagerduty.LOOKING_THROUGH", 0.0)
    assert pager.open_alert(case_in(US)) is None
    assert [request.path for request in pagerduty_api.requests] == ["/incidents"]


@pytest.mark.parametrize("hangs", ["/incidents", "/incidents/"], ids=["list", "alerts"])
def test_each_call_of_the_search_is_short(
    pagerduty_api: StandIn,
    secret: Callable[[str], SecretFile],
    monkeypatch: pytest.MonkeyPatch,
    hangs: str,
) -> None:
    """The page waits for the search, so that a REST API that hangs is given up sooner than elsewhere."""
    settings = PagerDutySettings(secret(ROUTING_KEY), secret(API_TOKEN), pagerduty_api.url, pagerduty_api.url, "", 60.0)
    firing(pagerduty_api)
    monkeypatch.setattr("watcher.adapters.pagerduty.LOOK_UP", 0.3)
    pagerduty_api.inject("timeout", prefix=hangs)
    with pytest.raises(Fault, match=r"within 0\.3 s"):
        PagerDutyPager(PagerDuty(settings), can_link=True, alert=ALERT).open_alert(case_in(US))


def test_a_note_is_written_once(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """However often it is tried, and though the answer is lost, the incident has one note."""
    mine = firing(pagerduty_api)
    pagerduty_api.inject("hung-halfway", prefix=f"/incidents/{mine.id}/notes", times=1, when=writes)
    note = messages.opening_note(case_in(US))
    with pytest.raises(Fault):
        pager.note(mine.id, note)
    pager.note(mine.id, note)
    pager.note(mine.id, note)
    assert pagerduty_api.incidents[0].notes == (note,)


def writes(request: Request) -> bool:
    """Whether a request changes anything."""
    return request.method == "POST"


def test_two_clusters_have_two_incidents(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """The same Deployment's cases in two clusters share neither key nor incident, and each is settled alone."""
    for place in (US, EU):
        page(pager, case_in(place))
    assert [i.dedup_key for i in pagerduty_api.incidents] == [case_in(US).id, case_in(EU).id]
    assert [i.events[0]["payload"]["source"] for i in pagerduty_api.incidents] == [US[0], EU[0]]
    pager.settle(case_in(EU), "well again", resolve=True)
    assert [(i.status, i.notes) for i in pagerduty_api.incidents] == [("triggered", ()), ("resolved", ("well again",))]


def test_the_link_is_the_open_incidents(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Where a former incident of the key was resolved, its address is not given for the new one's."""
    case = case_in(US)
    page(pager, case)
    pager.settle(case, "well again", resolve=True)
    assert pager.link(case) is None
    page(pager, case)
    assert pager.link(case) == pagerduty_api.incidents[1].html_url


def test_a_case_goes_on_with_anothers_incident(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """A revision that was put back is paged, linked and settled under the incident of its rollback."""
    first = case_in(US)
    page(pager, first)
    again = replace(first, id=first.id.replace("/r2-", "/r4-"), bad=4, action="Escalate", incident=first.id)
    page(pager, again)
    [incident] = pagerduty_api.incidents
    assert (len(incident.events), pager.link(again)) == (2, incident.html_url)


def test_the_database_team_has_its_own(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """It is paged at its own service, once, beside ours, and resolved alone; the key fits PagerDuty."""
    case = replace(case_in(US), id="c" * 221)
    page(pager, case)
    for _ in range(2):
        pager.page_database_team(case, messages.summary(case), messages.details(case))
    ours, theirs = pagerduty_api.incidents
    assert (ours.routing_key, theirs.routing_key) == (ROUTING_KEY, OTHER_KEY)
    assert (theirs.service.id, len(theirs.events)) == ("PDATA", 2)
    pager.resolve_database_team(case)
    assert [i.status for i in pagerduty_api.incidents] == ["triggered", "resolved"]


def test_the_dashboard_is_linked(pagerduty_api: StandIn, pager: PagerDutyPager) -> None:
    """Where the case has one, the incident links the service's dashboard."""
    pager.page(case_in(US), "summary", {"dashboard": "https://grafana/d/1"})
    assert pagerduty_api.incidents[0].events[0]["links"] == [{"href": "https://grafana/d/1", "text": "dashboard"}]
