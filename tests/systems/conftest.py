"""Fixtures of the adapters' tests: secrets in files, the vendors' stand-ins, and adapters connected to them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systems.credentials import API_TOKEN, ROUTING_KEY, SLACK_TOKEN
from tests.systems.fault_matrix import TIMEOUT
from watcher.sandbox import pagerduty as pagerduty_stand_in
from watcher.sandbox import slack as slack_stand_in
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Slack, SlackSettings

SENDER = "canary-watch@example.com"


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str, str], SecretFile]:
    """Write a secret to a file of this name, as a Secret mount would."""

    def write(name: str, content: str) -> SecretFile:
        path = tmp_path / name
        path.write_text(content + "\n")
        return SecretFile(path)

    return write


@pytest.fixture
def pagerduty_api() -> Iterator[pagerduty_stand_in.PagerDuty]:
    """PagerDuty's stand-in, listening."""
    with pagerduty_stand_in.PagerDuty(API_TOKEN, (SENDER,)) as api:
        yield api
    gc.collect()  # a connection that the adapter left open warns now, and so fails this test and no other


@pytest.fixture
def pagerduty_settings(
    pagerduty_api: pagerduty_stand_in.PagerDuty, secret: Callable[[str, str], SecretFile]
) -> PagerDutySettings:
    """Settings that lead to the stand-in."""
    return PagerDutySettings(
        routing_key=secret("routing-key", ROUTING_KEY),
        api_token=secret("api-token", API_TOKEN),
        events_url=pagerduty_api.url,
        api_url=pagerduty_api.url,
        from_email=SENDER,
        timeout=TIMEOUT,
    )


@pytest.fixture
def pagerduty(pagerduty_settings: PagerDutySettings) -> PagerDuty:
    """The adapter, connected to the stand-in."""
    return PagerDuty(pagerduty_settings)


@pytest.fixture
def slack_api() -> Iterator[slack_stand_in.Slack]:
    """Slack's stand-in, listening."""
    with slack_stand_in.Slack(SLACK_TOKEN) as api:
        yield api
    gc.collect()  # as above


@pytest.fixture
def slack_settings(slack_api: slack_stand_in.Slack, secret: Callable[[str, str], SecretFile]) -> SlackSettings:
    """Settings that lead to the stand-in, with the channel given by its name."""
    return SlackSettings(secret("slack-token", SLACK_TOKEN), "#deploy", f"{slack_api.url}/api/", TIMEOUT)


@pytest.fixture
def slack(slack_settings: SlackSettings) -> Slack:
    """The adapter, connected to the stand-in."""
    return Slack(slack_settings)
