"""The config file as frozen Settings. Secrets stay in their files: only the paths are here.

`daemon` makes each system's own settings of it; the policies that it names are loaded by `policy.loading`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    with_config,
)
from pydantic.alias_generators import to_camel

from watcher import quantities
from watcher.documents import Document, KeyPath, Mistake, read
from watcher.fields import (
    Address,
    Channel,
    Duration,
    File,
    Interval,
    LeaseDuration,
    Mail,
    Namespace,
    OptionalFile,
    SlackId,
    Text,
    Url,
)
from watcher.policy.model import MOST_POINTS, Policy
from watcher.validation import validated

_KEYS = ConfigDict(extra="forbid", alias_generator=to_camel)


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster's name and region, as messages say them."""

    name: Annotated[Text, Field(examples=["shopwave-prod-us-east-1"])]
    region: Annotated[Text, Field(examples=["us-east-1"])]


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """Where Prometheus is; `timeout` in seconds, for a whole answer."""

    url: Annotated[Url, Field(examples=["http://prometheus.monitoring:9090"])]
    timeout: Duration = 5.0
    bearer_token_file: OptionalFile = None
    ca_file: OptionalFile = None


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDuty:
    """Events v2 by routing key. An API token links incidents and notes on them; account tokens need `from_email`."""

    routing_key_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/pagerduty-routing-key"])]
    api_token_file: OptionalFile = None
    events_url: Url = "https://events.pagerduty.com"
    api_url: Url = "https://api.pagerduty.com"
    service_id: Text | None = None
    from_email: Mail | None = None


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The bot's token and the channel (`#name` or id) that it posts in."""

    token_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/slack-token"])]
    channel: Channel
    api_url: Url = "https://slack.com/api/"


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Jira:
    """Where deployment tickets are. `url` null switches it off, as leaving the section out does."""

    url: Url | None = None
    email_file: OptionalFile = None
    token_file: Annotated[File, Field(examples=["/etc/canary-watch/secrets/jira-token"])]
    project: Annotated[Text, Field(examples=["OPS"])]


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How to tag a role: the Slack id of a person (U, W) or of a user group (S)."""

    slack: Annotated[SlackId, Field(examples=["S0123ABCD"])]


@with_config(_KEYS)
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


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Leader election: how long a leader is one without renewing, in seconds."""

    duration: LeaseDuration = 15.0


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """How many rollbacks an hour are made; beyond them a breach is held and paged."""

    per_deployment: Annotated[int, Strict(), Field(ge=1, examples=[3])] = 3
    per_cluster: Annotated[int, Strict(), Field(ge=1, examples=[10])] = 10


@with_config(_KEYS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The config file's keys, one field each. A vendor's section left out is None: switched off."""

    cluster: Annotated[Cluster, Field(examples=["{name: shopwave-prod-us-east-1, region: us-east-1}"])]
    policies: Annotated[File, Field(examples=["/etc/canary-watch/policies"])]
    prometheus: Annotated[Prometheus, Field(examples=['{url: "http://prometheus.monitoring:9090"}'])]
    interval: Interval = 15.0
    namespaces: tuple[Namespace, ...] = ()
    pagerduty: PagerDuty | None = None
    slack: Slack | None = None
    jira: Jira | None = None
    contacts: Mapping[Text, Contact] = field(default_factory=dict)
    serve: Serve = Serve()
    lease: Lease = Lease()
    brakes: Brakes = Brakes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Keys):
    """The config file, and its own path for messages. `namespaces` empty: all; `interval` in seconds."""

    source: Path = Path()


_SHAPE = TypeAdapter(Keys)


def load(path: Path) -> tuple[Settings | None, tuple[Mistake, ...]]:
    """Load the config file: Settings, or every mistake in it. Paths in it are relative to its folder."""
    document, found = read(path)
    if document is None:
        return None, found
    fitted = validated(document, _SHAPE, {"folder": path.parent})
    keys, found = fitted[0], tuple(sorted({*found, *fitted[1]}))
    if keys is None or found:
        return None, found
    return Settings(**{key.name: getattr(keys, key.name) for key in fields(keys)}, source=path), ()


def missing_files(settings: Settings) -> tuple[Mistake, ...]:
    """Name the keys whose file can't be read now; not the path, for somebody may have put the secret itself there."""
    document, _ = read(settings.source)
    return tuple(sorted(_missing(settings, document))) if document else ()


def _missing(settings: Settings, document: Document) -> Iterator[Mistake]:
    for section in ("prometheus", "pagerduty", "slack", "jira"):
        values: Any = getattr(settings, section)
        for key in fields(values) if values else ():
            file = getattr(values, key.name)
            if not isinstance(file, Path):
                continue
            name = to_camel(key.name)
            if not (file.is_file() and os.access(file, os.R_OK)):
                yield document.mistake((section, name), f"{name}: names no file that can be read from here")
            elif not file.stat().st_size:
                yield document.mistake((section, name), f"{name}: names an empty file")


def check_against(settings: Settings, policies: Sequence[Policy]) -> tuple[Mistake, ...]:
    """Say what in the policies doesn't go with the config: times below the interval, namespaces that aren't watched.

    A policy's file is read again for the places, and only when there is a mistake to place.
    """
    found: list[Mistake] = []
    for policy in policies:
        wrong = list(_against(settings, policy))
        document = read(Path(policy.source))[0] if wrong else None
        for path, said in wrong:
            found.append(document.mistake(path, said) if document else Mistake(policy.source, 1, 1, said))
    return tuple(sorted(found))


def _against(settings: Settings, policy: Policy) -> Iterator[tuple[KeyPath, str]]:
    shortest = settings.interval
    asked = f"is shorter than the config's interval; write at least {quantities.as_duration(shortest)}"
    for index, check in enumerate(policy.checks):
        if check.hold_for > shortest * (MOST_POINTS - 1):
            longest = quantities.as_duration(shortest * (MOST_POINTS - 1))
            said = f"for: Prometheus answers at most {MOST_POINTS} points, at the config's interval {longest}"
            yield ("spec", "checks", index, "for"), said
        if 0 < check.hold_for < shortest:
            yield ("spec", "checks", index, "for"), f"for: {quantities.as_duration(check.hold_for)} {asked}"
    for key, value in (("watchFor", policy.watch_for), ("verifyWithin", policy.verify_within)):
        if value < shortest:
            yield ("spec", key), f"{key}: {quantities.as_duration(value)} {asked}"
    for index, name in enumerate(policy.namespaces if settings.namespaces else ()):
        if name != "*" and name not in settings.namespaces:
            said = f"namespaces[{index}]: the config's namespaces leave {name} out, so that it is never watched"
            yield ("spec", "match", "namespaces", index), said
