"""PagerDuty's stand-in being read: its lists keep the documented rules, and an account's parts fit together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from watcher.sandbox.pagerduty import ACCEPT, Account, OnCall, PagerDuty, Service, User

KEY = "d" * 32
ACCOUNT = Account(
    services=(Service("PSHOP", "Shop", "PPOLICY"), Service("PDATA", "Databases", "PDATAPOLICY")),
    users=(User("PUSER", "Maria", "maria@example.com"),),
    on_calls=(OnCall("PUSER", "PPOLICY", schedule="PWEEKLY"), OnCall("PUSER", "PPOLICY")),
    integrations={KEY: "PDATA"},
)


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    """The stand-in with two services, and an incident with three alerts."""
    with PagerDuty("token", account=ACCOUNT) as api:
        api.open_elsewhere("Errors", "PSHOP", *({"at": at} for at in range(3)))
        yield api


def _get(api: PagerDuty, target: str) -> requests.Response:
    headers = {"Authorization": "Token token=token", "Accept": ACCEPT}
    return requests.get(f"{api.url}{target}", headers=headers, timeout=5)


def _enqueue(api: PagerDuty, action: str, **more: object) -> None:
    event = {"routing_key": KEY, "event_action": action, "dedup_key": "d", **more}
    assert requests.post(f"{api.url}/v2/enqueue", json=event, timeout=5).status_code == 202


@pytest.mark.parametrize(
    "target",
    [
        "/incidents?service_ids=PSHOP",
        "/incidents?statuses[]=open",
        "/incidents?sort_by=title",
        "/incidents?date_range=week",
        "/incidents?since=yesterday",
        "/incidents?since=2001-01-01T00:00:00Z",
        "/incidents?limit=0",
        "/incidents?offset=-1",
        "/incidents?offset=9999&limit=2",
        "/incidents/Q0000000000002/alerts?statuses[]=acknowledged",
        "/incidents/Q0000000000002/alerts?limit=101",
        "/incidents/Q0000000000002/alerts?service_ids[]=PSHOP",
        "/oncalls?earliest=True",
        "/oncalls?include[]=user",
        "/oncalls?escalation_policy_ids=PPOLICY",
    ],
)
def test_a_list_refuses_what_is_not_documented(pagerduty: PagerDuty, target: str) -> None:
    """A parameter or a value that the page doesn't have is answered 400, in the documented shape, and noted."""
    answer = _get(pagerduty, target)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 2001
    assert len(pagerduty.violations) == 1


@pytest.mark.parametrize("target", ["/incidents/Q1/alerts", "/services/PGONE", "/schedules"])
def test_what_is_not_there_is_not_found(pagerduty: PagerDuty, target: str) -> None:
    """404 for an incident, a service or a path that isn't there."""
    assert _get(pagerduty, target).status_code == 404


def test_pages_say_whether_there_is_more(pagerduty: PagerDuty) -> None:
    """`more` is true until the last page, and no total is counted."""
    seen: list[tuple[list[str], bool]] = []
    for offset in (0, 2):
        page = _get(pagerduty, f"/incidents/Q0000000000002/alerts?limit=2&offset={offset}").json()
        assert (page["limit"], page["offset"], page["total"]) == (2, offset, None)
        seen.append(([alert["alert_key"] for alert in page["alerts"]], page["more"]))
    assert seen == [(["elsewhere-1", "elsewhere-1-1"], True), (["elsewhere-1-2"], False)]


def test_incidents_are_picked_by_service_status_key_and_time(pagerduty: PagerDuty) -> None:
    """Each filter lets through what it says; all of them together too."""
    later = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for query, found in {
        "": 1,
        "service_ids[]=PSHOP": 1,
        "service_ids[]=PDATA": 0,
        "statuses[]=acknowledged": 0,
        "statuses[]=acknowledged&statuses[]=triggered": 1,
        "incident_key=elsewhere-1-2": 1,
        "incident_key=other": 0,
        f"since={later}": 0,
        f"until={later}": 1,
        "date_range=all&since=2001-01-01": 1,
    }.items():
        assert len(_get(pagerduty, f"/incidents?{query}").json()["incidents"]) == found, query
    assert pagerduty.violations == []


def test_an_event_goes_to_its_integrations_service(pagerduty: PagerDuty) -> None:
    """The routing key decides the service; the event's details are its alert's, which a resolve resolves."""
    details = {"disk": "full"}
    _enqueue(
        pagerduty, "trigger", payload={"summary": "s", "source": "h", "severity": "error", "custom_details": details}
    )
    [incident] = _get(pagerduty, "/incidents?service_ids[]=PDATA").json()["incidents"]
    assert incident["service"] == {"id": "PDATA", "type": "service_reference", "summary": "Databases"}
    alerts = f"/incidents/{incident['id']}/alerts"
    [alert] = _get(pagerduty, alerts).json()["alerts"]
    assert (alert["alert_key"], alert["summary"], alert["body"]["details"]) == ("d", "s", details)
    _enqueue(pagerduty, "resolve")
    assert _get(pagerduty, f"{alerts}?statuses[]=triggered").json()["alerts"] == []
    assert len(_get(pagerduty, f"{alerts}?statuses[]=resolved&alert_key=d").json()["alerts"]) == 1


def test_users_are_references_unless_included(pagerduty: PagerDuty) -> None:
    """An on-call's user has a name and an address only with `include[]=users`."""
    listed: Any = [_get(pagerduty, f"/oncalls{query}").json()["oncalls"] for query in ("", "?include[]=users")]
    assert [entry["user"].get("email") for entry in listed[0]] == [None, None]
    assert [entry["user"].get("email") for entry in listed[1]] == ["maria@example.com"] * 2
    assert [entry["schedule"] and entry["schedule"]["id"] for entry in listed[0]] == ["PWEEKLY", None]


def test_earliest_leaves_one_for_each_policy_level_and_user(pagerduty: PagerDuty) -> None:
    """Two turns of one user at one level are one entry with `earliest`."""
    found = _get(pagerduty, "/oncalls?earliest=true").json()["oncalls"]
    assert [entry["schedule"]["id"] for entry in found] == ["PWEEKLY"]


def test_a_service_names_its_policy(pagerduty: PagerDuty) -> None:
    """A service's escalation policy is a reference."""
    service = _get(pagerduty, "/services/PSHOP").json()["service"]
    assert (service["name"], service["escalation_policy"]["id"]) == ("Shop", "PPOLICY")


def test_a_users_address_may_send_notes(pagerduty: PagerDuty) -> None:
    """The account's users are senders as those given by address are."""
    headers = {"Authorization": "Token token=token", "Accept": ACCEPT, "From": "maria@example.com"}
    url = f"{pagerduty.url}/incidents/Q0000000000002/notes"
    assert requests.post(url, json={"note": {"content": "seen"}}, headers=headers, timeout=5).status_code == 200
    assert pagerduty.incidents[0].notes == ("seen",)


def test_an_incident_elsewhere_needs_a_service(pagerduty: PagerDuty) -> None:
    """A service that isn't set up is a mistake of the test's."""
    with pytest.raises(ValueError, match="PGONE"):
        pagerduty.open_elsewhere("Errors", "PGONE")
