"""The vendors as the runbook wants them: thin fits from its Protocols (`runbook.ports`) to the clients of `systems`.

`vendors_of` makes all of them from the config; a vendor whose section is left out is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from watcher.adapters.figures import PrometheusFigures, read_schema
from watcher.adapters.grafana import GrafanaDashboards
from watcher.adapters.jira import JiraTracker
from watcher.adapters.pagerduty import LOOK_UP, OnCallDirectory, PagerDutyPager
from watcher.adapters.slack import SlackAnnouncer
from watcher.settings import Settings
from watcher.systems.grafana import Grafana, GrafanaSettings
from watcher.systems.jira import Jira, JiraSettings
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Slack, SlackSettings

__all__ = [
    "GrafanaDashboards",
    "JiraTracker",
    "OnCallDirectory",
    "PagerDutyPager",
    "PrometheusFigures",
    "SlackAnnouncer",
    "Vendors",
    "read_schema",
    "vendors_of",
]


TIMEOUT = 10.0  # seconds for one call of a vendor


@dataclass(frozen=True, slots=True)
class Vendors:
    """The vendors' clouds, each fitted to the steps; None where the config leaves it out."""

    pager: PagerDutyPager | None
    announcer: SlackAnnouncer | None
    tracker: JiraTracker | None
    dashboards: GrafanaDashboards | None
    directory: OnCallDirectory | None

    def missing(self) -> tuple[str, ...]:
        """The names of those that are switched off."""
        parts = {"PagerDuty": self.pager, "Slack": self.announcer, "Jira": self.tracker, "Grafana": self.dashboards}
        return tuple(name for name, part in parts.items() if part is None)


def vendors_of(settings: Settings) -> Vendors:
    """Make every vendor that the config names."""
    pagerduty, slack = _pagerduty(settings), _slack(settings)
    return Vendors(
        pager=_pager(settings, pagerduty) if pagerduty else None,
        announcer=SlackAnnouncer(slack) if slack else None,
        tracker=_tracker(settings),
        dashboards=_dashboards(settings),
        directory=_directory(settings),
    )


def _pagerduty(settings: Settings, timeout: float = TIMEOUT) -> PagerDuty | None:
    asked = settings.pagerduty
    if asked is None:
        return None
    token = _secret(asked.api_token_file)
    key = SecretFile(asked.routing_key_file)
    return PagerDuty(PagerDutySettings(key, token, asked.events_url, asked.api_url, asked.from_email, timeout))


def _slack(settings: Settings, timeout: float = TIMEOUT) -> Slack | None:
    asked = settings.slack
    return Slack(SlackSettings(SecretFile(asked.token_file), asked.channel, asked.api_url, timeout)) if asked else None


def _pager(settings: Settings, client: PagerDuty) -> PagerDutyPager | None:
    asked, team = settings.pagerduty, settings.contacts.get("database-team")
    if asked is None:
        return None
    return PagerDutyPager(
        client,
        can_link=asked.api_token_file is not None,
        alert=asked.alert,
        service_id=asked.service_id,
        database_team=_secret(team.routing_key_file) if team else None,
    )


def _directory(settings: Settings) -> OnCallDirectory | None:
    asked, pagerduty, slack = settings.pagerduty, _pagerduty(settings, LOOK_UP), _slack(settings, LOOK_UP)
    schedules = {role: contact.schedule for role, contact in settings.contacts.items() if contact.schedule}
    if asked is None or pagerduty is None or slack is None or asked.api_token_file is None:
        return None
    return OnCallDirectory(pagerduty, slack, asked.service_id, schedules) if asked.service_id or schedules else None


def _tracker(settings: Settings) -> JiraTracker | None:
    asked = settings.jira
    if asked is None or asked.url is None:
        return None
    client = Jira(JiraSettings(asked.url, _secret(asked.email_file), SecretFile(asked.token_file)))
    return JiraTracker(client, asked.project, asked.issue_type)


def _dashboards(settings: Settings) -> GrafanaDashboards | None:
    asked = settings.grafana
    if asked is None:
        return None
    client = Grafana(GrafanaSettings(asked.url, SecretFile(asked.token_file)))
    return GrafanaDashboards(client, asked.url, asked.dashboard or "")


def _secret(path: Path | None) -> SecretFile | None:
    return SecretFile(path) if path else None
