"""The config file as frozen Settings. Secrets stay in their files: only the paths are here.

`daemon` makes each system's own settings of it; the policies that it names are loaded by `policy.loading`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, with_config
from pydantic.alias_generators import to_camel

from watcher import quantities
from watcher.documents import Document, KeyPath, Mistake, file_flaw, read
from watcher.fields import File, Interval, Namespace, Text
from watcher.policy.model import MOST_POINTS, Policy
from watcher.sections import (
    KEYS,
    PAGED,
    ROLES,
    Brakes,
    Cluster,
    Contact,
    Grafana,
    Jira,
    Lease,
    PagerDuty,
    Postmortem,
    Prometheus,
    Serve,
    Slack,
)
from watcher.validation import validated


@with_config(KEYS)
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
    grafana: Grafana | None = None
    postmortem: Postmortem = field(default_factory=Postmortem)
    contacts: Mapping[Text, Annotated[Contact, Field(examples=["{slack: S0123ABCD}"])]] = field(default_factory=dict)
    serve: Serve = field(default_factory=Serve)
    lease: Lease = field(default_factory=Lease)
    brakes: Brakes = field(default_factory=Brakes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Keys):
    """The config file, and its own path for messages. `namespaces` empty: all; `interval` in seconds."""

    source: Path = Path()


_SHAPE = TypeAdapter(Keys)
_WITH_FILES = ("prometheus", "pagerduty", "slack", "jira", "grafana")


def load(path: Path) -> tuple[Settings | None, tuple[Mistake, ...]]:
    """Load the config file: Settings, or every mistake in it. Paths in it are relative to its folder."""
    document, found = read(path)
    if document is None:
        return None, found
    fitted = validated(document, _SHAPE, {"folder": path.parent})
    keys = fitted[0]
    found = tuple(sorted({*found, *fitted[1], *_contact_mistakes(document)}))
    if keys is None or found:
        return None, found
    return Settings(**{key.name: getattr(keys, key.name) for key in fields(keys)}, source=path), ()


def _contact_mistakes(document: Document) -> Iterator[Mistake]:
    """Say which of the runbook's contacts can't be reached (runbook, Contacts).

    Works on the document as it was written, so that a mistake elsewhere doesn't hide these.
    """
    written: Any = document.data if isinstance(document.data, dict) else {}
    contacts = written.get("contacts", {})
    if not isinstance(contacts, dict):
        return
    for role, contact in contacts.items():
        if role not in ROLES:
            said = f"{role} is not a role of the runbook; there are {', '.join(ROLES)}"
            yield document.key_mistake(("contacts", role), said)
        elif isinstance(contact, dict):
            yield from _unreachable(document, role, contact)
    place: KeyPath = ("contacts",) if contacts else ("slack",)
    for role, use in ROLES.items() if written.get("slack") else ():
        if role not in contacts:
            said = f"contacts: {role} is missing ({use}); write for example {role}: {{slack: S0123ABCD}}"
            yield document.key_mistake(place, said)


def _unreachable(document: Document, role: str, contact: Mapping[str, object]) -> Iterator[Mistake]:
    """Say what of a contact is of no use in this config, and whether nothing is left to tag it by."""
    written: Any = document.data
    pagerduty = written.get("pagerduty") or {}
    has_token = isinstance(pagerduty, dict) and bool(pagerduty.get("apiTokenFile"))
    if contact.get("schedule") and not has_token:
        said = "schedule: is looked up at PagerDuty, which takes pagerduty.apiTokenFile; give that, or write slack:"
        yield document.mistake(("contacts", role, "schedule"), said)
    elif written.get("slack") and not (contact.get("slack") or contact.get("schedule")):
        said = f"{role} has no handle ({ROLES[role]}); write slack: and the id of a person or a user group"
        said += ", or schedule: and the id of a PagerDuty schedule" if has_token else ""
        yield document.key_mistake(("contacts", role), said)
    if not contact.get("routingKeyFile"):
        return
    if role not in PAGED:
        said = f"routingKeyFile: {role} is not paged by itself, {' and '.join(PAGED)} is; leave it out"
        yield document.key_mistake(("contacts", role, "routingKeyFile"), said)
    elif not pagerduty:
        said = "routingKeyFile: is a key to PagerDuty, which is switched off; write the section pagerduty, too"
        yield document.key_mistake(("contacts", role, "routingKeyFile"), said)


def missing_files(settings: Settings) -> tuple[Mistake, ...]:
    """Name the keys whose file can't be read now; not the path, for somebody may have put the secret itself there.

    The policies' own files are in `policy.loading.missing_files`.
    """
    document, _ = read(settings.source)
    return tuple(sorted(_missing(settings, document))) if document else ()


def _missing(settings: Settings, document: Document) -> Iterator[Mistake]:
    sections: list[tuple[KeyPath, Any]] = [((name,), getattr(settings, name)) for name in _WITH_FILES]
    sections += [(("contacts", role), contact) for role, contact in settings.contacts.items()]
    for place, values in sections:
        if values is None or (place == ("jira",) and values.url is None):  # switched off
            continue
        for key in fields(values):
            file = getattr(values, key.name)
            flaw = file_flaw(file) if isinstance(file, Path) else ""
            if flaw:
                name = to_camel(key.name)
                yield document.mistake((*place, name), f"{name}: {flaw}")


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
