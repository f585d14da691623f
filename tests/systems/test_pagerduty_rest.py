"""PagerDuty's adapter reading: who is on call, which incidents are open, what they speak of; against its stand-in."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.systems.credentials import API_TOKEN, ROUTING_KEY
from tests.systems.fault_matrix import faulted
from tests.systems.pagerduty_office import ACCOUNT, EVENT, MARIA, NIKO, OTHER_KEY, ZOE, furnish
from watcher.runbook.alerts import speaks_of
from watcher.sandbox import pagerduty as stand_in
from watcher.sandbox.pagerduty import OnCall, User
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import OpenIncident, PagerDuty, Person
from watcher.systems.secret_file import SecretFile

SECRETS = (ROUTING_KEY, API_TOKEN)


@pytest.fixture(autouse=True)
def account(pagerduty_api: stand_in.PagerDuty) -> None:
    """Services, users, turns and an incident, in every test."""
    furnish(pagerduty_api)


def _person(user: User) -> Person:
    return Person(user.id, user.name, user.email)


def test_the_first_level_of_a_services_policy_is_on_call(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty
) -> None:
    """Everybody at the lowest level, each once and in order, with their addresses; nobody of a later level."""
    assert pagerduty.on_call("PSHOP") == (_person(NIKO), _person(MARIA))
    assert pagerduty.on_call("PDATA") == (_person(MARIA),)
    assert pagerduty_api.violations == []


def test_the_lowest_level_is_the_lowest_that_has_somebody(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty
) -> None:
    """A first level that nobody holds now is passed over; a policy without anybody is nobody."""
    pagerduty_api.account = dataclasses.replace(ACCOUNT, on_calls=(OnCall(ZOE.id, "PSHOPPOLICY", level=2),))
    assert pagerduty.on_call("PSHOP") == (_person(ZOE),)
    assert pagerduty.on_call("PDATA") == ()


def test_a_schedule_names_whose_turn_it_is(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """A schedule that several policies use names its person once; one that none uses names nobody."""
    assert pagerduty.on_call_schedule("PCOMMANDER") == (_person(MARIA),)
    assert pagerduty.on_call_schedule("PUNUSED") == ()
    assert pagerduty_api.violations == []


def test_an_unknown_service_is_a_lasting_fault(pagerduty: PagerDuty, caplog: pytest.LogCaptureFixture) -> None:
    """A service that was deleted is said so; an ID can't lead to another path."""
    fault = faulted(lambda: pagerduty.on_call("PGONE"), "PagerDuty", SECRETS, caplog)
    assert fault.lasting
    assert fault.said.startswith("answered HTTP 404: Not Found")
    assert faulted(lambda: pagerduty.on_call("../oncalls?x="), "PagerDuty", SECRETS, caplog).lasting


def test_open_incidents_are_the_unresolved_ones_newest_first(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty
) -> None:
    """Of one service or of all, triggered or acknowledged, created since then; whoever opened them."""
    since = time.time() - 60
    pagerduty.trigger(EVENT)
    pagerduty.trigger(dataclasses.replace(EVENT, dedup_key="case-2"))
    pagerduty.resolve("case-2")
    database = pagerduty_api.open_elsewhere("Disk full", "PDATA")
    elsewhere, ours = pagerduty_api.incidents[:2]
    shown = tuple(
        OpenIncident(incident.id, incident.html_url, "triggered", incident.summary)
        for incident in (database, ours, elsewhere)
    )
    assert pagerduty.open_incidents(None, since) == shown
    assert pagerduty.open_incidents("PSHOP", since) == shown[1:]
    pagerduty_api.incidents = (dataclasses.replace(elsewhere, status="acknowledged"), ours)
    assert [incident.status for incident in pagerduty.open_incidents(None, since)] == ["triggered", "acknowledged"]
    assert pagerduty.open_incidents(None, time.time() + 60) == ()
    assert pagerduty_api.violations == []


def test_a_since_beyond_the_documented_range_is_a_lasting_fault(
    pagerduty: PagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    """PagerDuty looks back 6 months at most, and says so."""
    fault = faulted(lambda: pagerduty.open_incidents(None, 0.0), "PagerDuty", SECRETS, caplog)
    assert fault.lasting
    assert "more than 6 months" in fault.said


def test_an_alerts_texts_are_all_that_it_says(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """Summary, key and each detail with its name, however deep; each once; the chooser knows the alert by them."""
    [incident] = pagerduty_api.incidents
    texts = pagerduty.texts_of(incident.id)
    assert texts == (
        "[FIRING:1] svc-error-rate",
        incident.dedup_key,
        "firing: Labels:\n - alertname = svc-error-rate\n - namespace = shop",
        "labels",
        "deployment: checkout",
        "cluster: shopwave-prod-eu-west-1",
        "pods: checkout-1",
        "pods: checkout-2",
        "ratio: 0.042",
        "runbook",
    )
    place = ("shopwave-prod-eu-west-1", "eu-west-1")
    assert speaks_of(texts, "svc-error-rate", ("shop", "checkout"), place)
    assert not speaks_of(texts, "svc-error-rate", ("other", "checkout"), place)
    assert pagerduty_api.violations == []


def test_a_resolved_alert_says_nothing(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """Of the alerts grouped in an incident those that are over don't count."""
    incident = pagerduty_api.open_elsewhere("svc-error-rate", "PSHOP", {"deployment": "cart"}, {"deployment": "pay"})
    over = dataclasses.replace(incident.alerts[0], status="resolved")
    changed = dataclasses.replace(incident, alerts=(over, incident.alerts[1]))
    pagerduty_api.incidents = (changed,)
    texts = pagerduty.texts_of(incident.id)
    assert "deployment: pay" in texts
    assert "deployment: cart" not in texts


def test_an_event_is_one_alert_of_its_integrations_service(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty
) -> None:
    """What the daemon itself triggers reads back like any other alert, under its dedup key."""
    pagerduty.trigger(EVENT)
    incident = pagerduty.incident("case-1")
    assert incident is not None
    assert pagerduty.texts_of(incident.id) == ("Rolled back shop/cart", "case-1", "bad: 24")
    assert pagerduty_api.incidents[-1].service.id == "PSHOP"


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (None, ()),
        ({"details": "an e-mail\nwith lines"}, ("an e-mail\nwith lines",)),
        ({"details": {}, "cef_details": {"details": {"namespace": "shop"}}}, ("details", "namespace: shop")),
        ({"details": {"a": "1", "b": "1"}, "cef_details": {"a": "1"}}, ("a: 1", "b: 1")),
        ({"details": {"long": "x" * 5000, "next": "kept"}}, ("long:", "next: kept")),
        ({"details": [[["deep"]]]}, ("deep",)),
    ],
)
def test_an_alerts_body_may_be_anything(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, body: object, texts: tuple[str, ...]
) -> None:
    """No body, a text, the undocumented `cef_details`: what says something is read, and each text once."""
    answer = {"alerts": [{"summary": None, "body": body}], "more": False}
    pagerduty_api.inject("wrong-shape", prefix="/incidents/Q1/alerts", shape=answer)
    assert pagerduty.texts_of("Q1") == texts


def test_texts_are_bounded_and_keep_whole_lines(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """At most 200 texts of at most 1,000 characters; a long one comes in pieces that end with a line or a word."""
    lines = "".join(f" - namespace = shop-{at:04d}\n" for at in range(1000))
    incident = pagerduty_api.open_elsewhere("t", "PSHOP", {"firing": lines, "prose": "checkout-worker " * 1000})
    texts = pagerduty.texts_of(incident.id)
    assert len(texts) <= 200
    assert max(map(len, texts)) <= 1000
    labels = [line for text in texts for line in text.splitlines() if "namespace" in line]
    assert [label[-9:] for label in labels] == [f"shop-{at:04d}" for at in range(1000)]
    words = {word for text in texts for word in text.split() if "checkout" in word or "worker" in word}
    assert words == {"checkout-worker"}
    many = pagerduty_api.open_elsewhere("t", "PSHOP", *({"at": f"text {at}"} for at in range(300)))
    before = len(pagerduty_api.requests)
    assert len(pagerduty.texts_of(many.id)) == 200
    assert len(pagerduty_api.requests) - before == 4  # 25 alerts a page, three texts each but for the title


def test_the_newest_page_of_open_incidents_is_enough(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """However many are open, a page waits for one request alone."""
    first = pagerduty_api.incidents[0]
    pagerduty_api.incidents = tuple(dataclasses.replace(first, id=f"Q{at}") for at in range(150))
    found = pagerduty.open_incidents("PSHOP", time.time() - 3600)
    assert [incident.id for incident in found] == [f"Q{at}" for at in reversed(range(50, 150))]
    assert len(pagerduty_api.requests) == 1
    assert pagerduty_api.violations == []


def test_no_page_is_begun_after_its_time(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """What is only half read may speak of something else: that is a failure, and costs no request."""
    with pytest.raises(Fault, match="had not told all"):
        pagerduty.texts_of("Q1", -1.0)
    assert pagerduty_api.requests == []


def test_since_is_sent_in_utc(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """The time goes out in ISO 8601 with its zone, whatever the account's."""
    since = time.time() - 3600
    pagerduty.open_incidents(None, since)
    [sent] = pagerduty_api.requests[-1].query["since"]
    assert datetime.fromisoformat(sent) == datetime.fromtimestamp(int(since), UTC)


def test_another_teams_page_goes_to_its_own_service(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, secret: Callable[[str, str], SecretFile]
) -> None:
    """With another routing key the incident is another service's, and is resolved by that key alone."""
    key = secret("database-key", OTHER_KEY)
    pagerduty.trigger(EVENT, key)
    assert pagerduty_api.incidents[-1].service.id == "PDATA"
    pagerduty.resolve(EVENT.dedup_key)
    assert pagerduty_api.incidents[-1].status == "triggered"
    pagerduty.resolve(EVENT.dedup_key, key)
    assert pagerduty_api.incidents[-1].status == "resolved"
    assert pagerduty_api.violations == []
