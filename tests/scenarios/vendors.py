"""The vendors' clouds of a stage: the stand-ins that its daemon pages, posts and files at. Stages may share them."""

from __future__ import annotations

from tests.scenarios.files import API_TOKEN, GRAFANA_TOKEN, JIRA_TOKEN, SLACK_TOKEN, USER
from watcher.sandbox.grafana import Grafana
from watcher.sandbox.jira import Jira
from watcher.sandbox.pagerduty import Account, PagerDuty
from watcher.sandbox.slack import Slack
from watcher.sandbox.stand_in import StandIn


class Vendors:
    """One account at each vendor. `account` is what is set up in PagerDuty's."""

    def __init__(self, account: Account | None = None) -> None:
        self.pagerduty = PagerDuty(API_TOKEN, users=(USER,), account=account)
        self.slack = Slack(SLACK_TOKEN)
        self.jira = Jira(JIRA_TOKEN, USER)
        self.grafana = Grafana(GRAFANA_TOKEN)

    @property
    def all(self) -> tuple[StandIn, ...]:
        """Each of them."""
        return self.pagerduty, self.slack, self.jira, self.grafana

    @property
    def violations(self) -> list[str]:
        """What broke a vendor's documented rule, at any of them."""
        return [rule for part in self.all for rule in part.violations]

    def sent(self) -> bytes:
        """Every byte that they were sent, in one piece: addresses, bodies and files."""
        return b"\n".join(piece for part in self.all for r in part.requests for piece in (r.target.encode(), r.body))
