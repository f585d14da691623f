"""Fixtures of the adapters' tests: the vendors' stand-ins and clients, and a case that was opened just now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runbook.parts import case_of
from tests.systems.credentials import API_TOKEN, ROUTING_KEY, SLACK_TOKEN
from tests.systems.pagerduty_office import ACCOUNT
from watcher.runbook.case import Case
from watcher.sandbox import grafana as grafana_stand_in
from watcher.sandbox import pagerduty as pagerduty_stand_in
from watcher.sandbox import slack as slack_stand_in
from watcher.systems.grafana import Grafana, GrafanaSettings
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Slack, SlackSettings

GRAFANA_TOKEN = "glsa_grafanas-own"
TIMEOUT = 0.5
US = ("shopwave-prod-us-east-1", "us-east-1")
EU = ("shopwave-prod-eu-west-1", "eu-west-1")


def case_in(place: tuple[str, str], deployment: str = "checkout") -> Case:
    """A rollback of shop/checkout in a cluster, opened just now: the stand-ins go by this machine's clock."""
    case = replace(case_of(), cluster=place[0], region=place[1], deployment=deployment, opened=time.time())
    return replace(case, id=f"{place[0]}/{place[1]}/shop/{deployment}/r2-uid-of-c")


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], SecretFile]:
    """Write a secret to a file."""

    def write(content: str) -> SecretFile:
        path = tmp_path / f"secret-{len(list(tmp_path.iterdir()))}"
        path.write_text(content)
        return SecretFile(path)

    return write


@pytest.fixture
def pagerduty_api() -> Iterator[pagerduty_stand_in.PagerDuty]:
    """PagerDuty's stand-in, with two services, three users and their turns."""
    with pagerduty_stand_in.PagerDuty(API_TOKEN, account=ACCOUNT) as api:
        yield api
        assert api.violations == []


@pytest.fixture
def pagerduty(pagerduty_api: pagerduty_stand_in.PagerDuty, secret: Callable[[str], SecretFile]) -> PagerDuty:
    """PagerDuty's client, with a REST token."""
    url, sender = pagerduty_api.url, ACCOUNT.users[0].email
    return PagerDuty(PagerDutySettings(secret(ROUTING_KEY), secret(API_TOKEN), url, url, sender, TIMEOUT))


@pytest.fixture
def slack_api() -> Iterator[slack_stand_in.Slack]:
    """Slack's stand-in, where everybody is known by the address that PagerDuty has."""
    with slack_stand_in.Slack(SLACK_TOKEN) as api:
        api.users = {user.email: f"U{user.name.upper()}" for user in ACCOUNT.users}
        yield api
        assert api.violations == []


@pytest.fixture
def slack(slack_api: slack_stand_in.Slack, secret: Callable[[str], SecretFile]) -> Slack:
    """Slack's client."""
    return Slack(SlackSettings(secret(SLACK_TOKEN), "#deploy", f"{slack_api.url}/api/", TIMEOUT))


@pytest.fixture
def grafana_api() -> Iterator[grafana_stand_in.Grafana]:
    """Grafana's stand-in."""
    with grafana_stand_in.Grafana(GRAFANA_TOKEN) as api:
        yield api
        assert api.violations == []


@pytest.fixture
def grafana(grafana_api: grafana_stand_in.Grafana, secret: Callable[[str], SecretFile]) -> Grafana:
    """Grafana's client."""
    return Grafana(GrafanaSettings(grafana_api.url, secret(GRAFANA_TOKEN), TIMEOUT))
