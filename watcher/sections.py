"""The config file's sections as frozen dataclasses, one for each outside system or matter. `settings` loads them.

Secrets stay in their files: only the paths are here. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, Strict, with_config
from pydantic.alias_generators import to_camel

from watcher.fields import (
    Address,
    Channel,
    DashboardPath,
    Duration,
    File,
    LeaseDuration,
    Mail,
    OptionalFile,
    Share,
    SlackId,
    Text,
    TimeZone,
    Url,
)

KEYS = ConfigDict(extra="forbid", alias_generator=to_camel)


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster's name and region, as messages say them."""

    name: Annotated[Text, Field(examples=["shopwave-prod-us-east-1"])]
    region: Annotated[Text, Field(examples=["us-east-1"])]


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """Where Prometheus is; `timeout` in seconds, for a whole answer."""

    url: Annotated[Url, Field(examples=["http://prometheus.monitoring:9090"])]
    timeout: Duration = 5.0
    bearer_token_file: OptionalFile = None
    ca_file: OptionalFile = None


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDuty:
    """Events v2 by routing key. An API token links incidents and notes on them; account tokens need `from_email`.

    `service_id` is the service that is paged: who is on call for it is asked for, and `alert` is the name of the alert
    whose open incident for a Deployment a rollback is noted on, instead of paging twice.
    """

    routing_key_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/pagerduty-routing-key"])]
    api_token_file: OptionalFile = None
    events_url: Url = "https://events.pagerduty.com"
    api_url: Url = "https://api.pagerduty.com"
    service_id: Text | None = None
    alert: Text = "svc-error-rate"
    from_email: Mail | None = None


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The bot's token and the channel (`#name` or id) that it posts in."""

    token_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/slack-token"])]
    channel: Channel
    api_url: Url = "https://slack.com/api/"


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Jira:
    """Where deployment tickets and postmortems are. `url` null switches it off, as leaving the section out does.

    With `email_file`, the token is an Atlassian account's API token; without, a personal access token.
    """

    url: Url | None = None
    email_file: OptionalFile = None
    token_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/jira-token"])]
    project: Annotated[Text, Field(examples=["OPS"])]
    issue_type: Text = "Task"


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Grafana:
    """Where rollouts and rollbacks are marked. `dashboard` is the service's, `$namespace` and `$deployment` filled in.

    A Deployment's annotation `canary-watch.io/dashboard` names another one.
    """

    url: Annotated[Url, Field(examples=["https://grafana.example.com"])]
    token_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/grafana-token"])]
    dashboard: DashboardPath | None = None


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Postmortem:
    """From when on a postmortem is filed, and how soon it is reviewed (runbook, Post-Rollback)."""

    longer_than: Duration = 900.0
    more_than: Share = 0.001
    review_within: Duration = 172800.0
    time_zone: TimeZone = "UTC"


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How to reach a role: by the Slack id of a person (U, W) or of a user group (S).

    A rotating role may name a PagerDuty `schedule` instead: whoever is on call there is found in Slack by e-mail. A
    role with a PagerDuty service of its own is paged there, by its `routing_key_file`.
    """

    slack: SlackId | None = None
    schedule: Text | None = None
    routing_key_file: OptionalFile = None


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Where /healthz, /readyz and /metrics are served: `host:port`."""

    address: Address = "0.0.0.0:8080"

    @property
    def host(self) -> str:
        """The address without its port, and without an IPv6 address's brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The address's port."""
        return int(self.address.rpartition(":")[2])


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Leader election: how long a leader is one without renewing, in seconds."""

    duration: LeaseDuration = 15.0


@with_config(KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """How many rollbacks an hour are made; beyond them a breach is held and paged."""

    per_deployment: Annotated[int, Strict(), Field(ge=1, examples=[3])] = 3
    per_cluster: Annotated[int, Strict(), Field(ge=1, examples=[10])] = 10


# The runbook's contacts. Each is used where the runbook uses it, so that a config with Slack names each.
ROLES: Mapping[str, str] = {
    "sre-oncall": "tagged in each message, unless PagerDuty says who is on call",
    "platform-lead": "tagged where a rollback ends badly, and in the postmortem",
    "database-team": "tagged and paged where a migration can't be taken back",
    "incident-commander": "tagged where a person is needed",
}

# Who may have a PagerDuty service of its own: "escalate to the database team immediately" (runbook, Migrations).
PAGED = ("database-team",)
