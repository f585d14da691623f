"""What an account holds, as PagerDuty shows it: services, users, who is on call; incidents with their alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a login."""

    id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and the ID of the escalation policy that its incidents follow."""

    id: str
    name: str
    escalation_policy: str


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call now: a user's ID, at a level of an escalation policy; `schedule` None: always."""

    user: str
    escalation_policy: str
    level: int = 1
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What was set up by hand. `integrations` says which service's integration a routing key belongs to.

    An event with any other key goes to the first service.
    """

    services: tuple[Service, ...] = (Service("PSERVICE", "Production", "PPOLICY"),)
    users: tuple[User, ...] = ()
    on_calls: tuple[OnCall, ...] = ()
    integrations: Mapping[str, str] = field(default_factory=dict)

    def service(self, service_id: str) -> Service | None:
        """Return the service of this ID."""
        return next((service for service in self.services if service.id == service_id), None)

    def service_of(self, routing_key: str) -> Service:
        """Return the service that an event with this routing key goes to."""
        return self.service(self.integrations.get(routing_key, "")) or self.services[0]

    def user(self, user_id: str) -> User:
        """Return the user of this ID."""
        return next(user for user in self.users if user.id == user_id)

    def routing_key_of(self, service_id: str) -> str:
        """Return a routing key of a service's."""
        return next((key for key, service in self.integrations.items() if service == service_id), "e" * 32)


@dataclass(frozen=True, slots=True)
class Alert:
    """What one monitoring event said; an incident has one or, grouped, several. `status` is triggered or resolved."""

    id: str
    key: str
    summary: str
    details: Mapping[str, Any]
    status: str = "triggered"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: the events that made and moved it, oldest first, its alerts, and the notes written on it."""

    id: str
    routing_key: str
    dedup_key: str
    status: str
    created_at: str
    html_url: str
    service: Service
    events: tuple[Mapping[str, Any], ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The summary of the event that opened it."""
        return str(self.events[0]["payload"]["summary"])


def shown_incident(incident: Incident) -> dict[str, object]:
    """Return an incident as it is listed (api-reference/9d0b4b12e36f9-list-incidents)."""
    return {
        "id": incident.id,
        "type": "incident",
        "summary": incident.summary,
        "title": incident.summary,
        "status": incident.status,
        "incident_key": None,
        "created_at": incident.created_at,
        "html_url": incident.html_url,
        "service": _reference("service", incident.service.id, incident.service.name),
    }


def shown_alert(incident: Incident, alert: Alert) -> dict[str, object]:
    """Return an alert as it is listed (api-reference/4bc42e7ac0c59-list-alerts-for-an-incident)."""
    return {
        "id": alert.id,
        "type": "alert",
        "summary": alert.summary,
        "status": alert.status,
        "alert_key": alert.key,
        "created_at": incident.created_at,
        "service": _reference("service", incident.service.id, incident.service.name),
        "incident": _reference("incident", incident.id, incident.summary),
        "body": {"type": "alert_body", "contexts": [], "details": alert.details},
    }


def shown_service(service: Service) -> dict[str, object]:
    """Return a service (api-reference/165ad96a22ffd-get-a-service)."""
    policy = _reference("escalation_policy", service.escalation_policy)
    return {
        "id": service.id,
        "type": "service",
        "summary": service.name,
        "name": service.name,
        "escalation_policy": policy,
    }


def shown_on_call(on_call: OnCall, user: User, *, with_user: bool) -> dict[str, object]:
    """Return an on-call (api-reference/3a6b910f11050-list-all-of-the-on-calls); the user in full where it is asked for.

    Without that it is a reference, which has no name and no e-mail address (docs/rest-api-v2/includes).
    """
    whole = {"id": user.id, "type": "user", "summary": user.name, "name": user.name, "email": user.email}
    return {
        "user": whole if with_user else _reference("user", user.id, user.name),
        "schedule": _reference("schedule", on_call.schedule) if on_call.schedule else None,
        "escalation_policy": _reference("escalation_policy", on_call.escalation_policy),
        "escalation_level": on_call.level,
        "start": None,
        "end": None,
    }


def _reference(kind: str, identifier: str, summary: str | None = None) -> dict[str, object]:
    return {"id": identifier, "type": f"{kind}_reference", "summary": summary}
