"""Who is on call: PagerDuty says who, Slack how to tag them; what one role lacks costs the others nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.systems.pagerduty_office import ACCOUNT, MARIA, NIKO
from watcher.adapters import OnCallDirectory
from watcher.sandbox.pagerduty import OnCall
from watcher.sandbox.pagerduty import PagerDuty as PagerDutyStandIn
from watcher.sandbox.slack import Slack as SlackStandIn
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import PagerDuty
from watcher.systems.slack import Slack

COMMANDER = {"incident-commander": "PCOMMANDER"}


@pytest.fixture
def directory(pagerduty: PagerDuty, slack: Slack) -> OnCallDirectory:
    """As the daemon makes it, with the paged service and the commander's schedule."""
    return OnCallDirectory(pagerduty, slack, "PSHOP", COMMANDER)


def test_finds_everybody_by_role(directory: OnCallDirectory, slack_api: SlackStandIn) -> None:
    """Those at the paged service's first level and whoever's turn it is in a schedule, each once."""
    assert directory() == {"sre-oncall": ["UNIKO", "UMARIA"], "incident-commander": ["UMARIA"]}
    assert {request.path for request in slack_api.requests} == {"/api/users.lookupByEmail"}


def test_a_contacts_schedule_comes_before_the_service(pagerduty: PagerDuty, slack: Slack) -> None:
    """Where the on-call contact names a schedule, that counts."""
    assert OnCallDirectory(pagerduty, slack, "PSHOP", {"sre-oncall": "PCOMMANDER"})() == {"sre-oncall": ["UMARIA"]}


def test_schedules_need_no_service(pagerduty: PagerDuty, slack: Slack) -> None:
    """Without a service the schedules alone are asked."""
    assert OnCallDirectory(pagerduty, slack, None, COMMANDER)() == {"incident-commander": ["UMARIA"]}


def test_a_shift_counts_at_once(directory: OnCallDirectory, pagerduty_api: PagerDutyStandIn) -> None:
    """Nothing is kept from one lookup to the next."""
    directory()
    pagerduty_api.account = replace(ACCOUNT, on_calls=(OnCall(NIKO.id, "PSHOPPOLICY"),))
    assert directory() == {"sre-oncall": ["UNIKO"]}


def test_who_is_not_in_slack_is_left_out(directory: OnCallDirectory, slack_api: SlackStandIn) -> None:
    """A role of which nobody is found is left out, so that its contact is tagged instead."""
    del slack_api.users[MARIA.email]
    assert directory() == {"sre-oncall": ["UNIKO"]}


def test_a_role_that_is_refused_costs_no_other(
    pagerduty: PagerDuty, slack: Slack, pagerduty_api: PagerDutyStandIn
) -> None:
    """A service that was deleted doesn't keep the commander from being tagged."""
    found = OnCallDirectory(pagerduty, slack, "PDELETED", COMMANDER)()
    assert found == {"incident-commander": ["UMARIA"]}
    assert [rule for rule in pagerduty_api.violations if "PDELETED" not in rule] == []
    pagerduty_api.violations.clear()


def test_refused_altogether_is_a_fault(directory: OnCallDirectory, pagerduty_api: PagerDutyStandIn) -> None:
    """A revoked token is not mistaken for nobody being on call."""
    pagerduty_api.api_token = "another"
    with pytest.raises(Fault, match="401") as caught:
        directory()
    assert caught.value.lasting


@pytest.mark.parametrize("mode", ["500", "timeout", "hung-halfway", "html", "429"])
@pytest.mark.parametrize("vendor", ["PagerDuty", "Slack"])
def test_what_fails_in_passing_is_a_fault(
    directory: OnCallDirectory,
    pagerduty_api: PagerDutyStandIn,
    slack_api: SlackStandIn,
    vendor: str,
    mode: str,
) -> None:
    """Either vendor failing or hanging raises soon, so that the step tries again or does without."""
    api = pagerduty_api if vendor == "PagerDuty" else slack_api
    api.inject(mode)  # type: ignore[arg-type]
    with pytest.raises(Fault, match=vendor):
        directory()
    assert len(api.requests) == 1
