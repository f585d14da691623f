"""Whom a message tags, and that nobody is paged twice: PagerDuty's on-calls and open incidents on the whole daemon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.files import ROUTING_KEY
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from tests.scenarios.vendors import Vendors
from watcher.sandbox.pagerduty import Account, OnCall, Service, User
from watcher.sandbox.slack import Message

SERVICE, SCHEDULE = "PSHOP", "PCOMMAND"
ANN, COMMANDER, GROUP = "<@U0ANN0001>", "<@U0COMM001>", "<!subteam^S0123ABCD>"

ACCOUNT = Account(
    services=(Service(SERVICE, "Shop", "PPOLICY"), Service("POTHER", "Something else", "POTHERS")),
    users=(
        User("PANN", "Ann", "ann@example.com"),
        User("PBOB", "Bob", "bob@example.com"),
        User("PCOM", "Commander", "commander@example.com"),
    ),
    on_calls=(
        OnCall("PANN", "PPOLICY", 1),
        OnCall("PBOB", "PPOLICY", 2),
        OnCall("PCOM", "PCOMMANDERS", 1, SCHEDULE),
    ),
    integrations={ROUTING_KEY: SERVICE},
)
SLACK_IDS = {"ann@example.com": "U0ANN0001", "bob@example.com": "U0BOB0001", "commander@example.com": "U0COMM001"}


@pytest.fixture
def make_shop(make_stage: MakeStage) -> Callable[..., Stage]:
    """Make a stage with an account at PagerDuty: a service with somebody on call, and the commanders' schedule."""

    def make() -> Stage:
        vendors = Vendors(ACCOUNT)
        vendors.slack.users = dict(SLACK_IDS)
        contacts = {"incident-commander": {"schedule": SCHEDULE}}
        settings = {"pagerduty": {"serviceId": SERVICE}, "contacts": contacts}
        stage = make_stage(policies=("error-rate",), vendors=vendors, settings=settings)
        for image, behaviour in (("good:1", GOOD), ("bad:1", BAD), ("bad:2", BAD)):
            stage.traffic.set_behaviour(image, behaviour)
        return stage

    return make


def first_text(message: Message) -> str:
    """A message as people were notified of it."""
    return (*message.edits, message.text)[0]


def alert(stage: Stage, deployment: str, region: str = "us-east-1") -> str:
    """Open an incident as the team's own alerting would, for a Deployment in a region; its address."""
    details = {"namespace": stage.namespace, "deployment": deployment, "region": region, "alertname": "svc-error-rate"}
    return stage.pagerduty.open_elsewhere(f"svc-error-rate: {deployment} in {region}", SERVICE, details).html_url


def test_the_one_on_call_is_tagged(make_shop: Callable[..., Stage]) -> None:
    """Whoever is on call now is found in Slack by e-mail, and tagged at once; the commander's turn on an escalation.

    An open `svc-error-rate` incident for the Deployment here is noted on and linked, and nobody is paged again; one of
    the other region or of another Deployment is left alone.
    """
    stage = make_shop()
    for name in ("linked", "other"):
        stage.ship("good:1", name)
    url = alert(stage, "linked")
    away, unlike = alert(stage, "other", "eu-west-1"), alert(stage, "other-worker")
    stage.start()
    for name in ("linked", "other"):
        stage.set_image("bad:2", name)
    stage.ship("bad:1", "fresh")
    cases = {name: stage.closed("verified", deployment=name)[0] for name in ("linked", "other")}
    cases["fresh"] = stage.closed("escalated", deployment="fresh")[0]
    for name in cases:
        [message] = stage.posted(name)
        assert ANN in first_text(message)
        assert GROUP not in message.text
        assert "U0BOB0001" not in message.text, "the second level is not called yet"
        assert (COMMANDER in first_text(message)) == (name == "fresh")
    [message] = stage.posted("linked")
    assert f"<{url}|PagerDuty incident> (already open for `svc-error-rate`)." in first_text(message)
    known = {incident.html_url: incident for incident in stage.pagerduty.incidents}
    opening, closing = known[url].notes
    assert "takes revision 2" in opening
    assert "Verified" in closing
    assert (known[url].status, len(known[url].events)) == ("triggered", 1), "it is for its own alerting to resolve"
    for other in (away, unlike):
        assert (known[other].notes, known[other].status) == ((), "triggered")
        assert all(other not in one.text for one in stage.slack.messages)
    paged = {i.dedup_key: i.status for i in stage.pagerduty.incidents if not i.dedup_key.startswith("elsewhere-")}
    assert paged == {cases["other"]["id"]: "resolved", cases["fresh"]["id"]: "triggered"}
    assert stage.vendors.violations == []


def test_the_group_is_tagged_instead(make_shop: Callable[..., Stage]) -> None:
    """Who isn't found in Slack, or can't be asked for at PagerDuty, is tagged as the contact's group: at once, too."""
    stage = make_shop()
    for name in ("unknown", "unasked"):
        stage.ship("good:1", name)
    stage.start()
    stage.slack.users = {}
    stage.set_image("bad:2", "unknown")
    [message] = stage.until(lambda: stage.posted("unknown"), "it is announced")
    assert GROUP in first_text(message)
    for path in ("/services", "/oncalls"):
        stage.pagerduty.inject("500", prefix=path)
    stage.set_image("bad:2", "unasked")
    [message] = stage.until(lambda: stage.posted("unasked"), "it is announced all the same")
    assert GROUP in first_text(message)
    stage.pagerduty.recover()
    for name in ("unknown", "unasked"):
        [case] = stage.closed("verified", deployment=name)
        assert [i.status for i in stage.pagerduty.incidents if i.dedup_key == case["id"]] == ["resolved"]
    assert stage.vendors.violations == []
