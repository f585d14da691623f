"""The REST API's lists: which parameters each takes, what they pick, and one page of it.

A parameter that is documented but not known here is refused as well: better than to be ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from watcher.sandbox.pagerduty.account import (
    Account,
    Incident,
    shown_alert,
    shown_incident,
    shown_on_call,
)
from watcher.sandbox.stand_in import Reply, json_reply

Query = Mapping[str, list[str]]
PAGING = {"limit", "offset", "total"}
MAX_PAGE = 100
MAX_RECORDS = 10_000
MAX_RANGE = timedelta(days=184)  # 6 months


class Refused(Exception):
    """A request that breaks a rule; the text says which."""


def incidents(found: Sequence[Incident], query: Query) -> Reply:
    """List incidents (api-reference/9d0b4b12e36f9-list-incidents).

    "Incidents with child alerts do not have an incident key; querying by incident key will return incidents whose
    alerts have alert_key matching": the answer carries no key, and one key may have several incidents. Of `since` and
    `until`, the "maximum range is 6 months and default is 1 month".
    """
    _known(query, {"incident_key", "statuses[]", "service_ids[]", "date_range", "since", "until", "sort_by"})
    _one_of(query, "statuses[]", {"triggered", "acknowledged", "resolved"})
    _one_of(query, "sort_by", {"created_at", "created_at:asc", "created_at:desc"})
    _one_of(query, "date_range", {"all"})
    key = query.get("incident_key", [""])[0]
    picked = [
        incident
        for incident in found
        if key in ("", *(alert.key for alert in incident.alerts))
        and _picks(query, "statuses[]", incident.status)
        and _picks(query, "service_ids[]", incident.service.id)
    ]
    if "date_range" not in query:
        start, end = _range(query)
        picked = [incident for incident in picked if start <= datetime.fromisoformat(incident.created_at) <= end]
    if query.get("sort_by") == ["created_at:desc"]:
        picked.reverse()
    return _page(query, "incidents", [shown_incident(incident) for incident in picked])


def alerts(incident: Incident, query: Query) -> Reply:
    """List an incident's alerts (api-reference/4bc42e7ac0c59-list-alerts-for-an-incident)."""
    _known(query, {"alert_key", "statuses[]"})
    _one_of(query, "statuses[]", {"triggered", "resolved"})
    picked = [
        alert
        for alert in incident.alerts
        if _picks(query, "statuses[]", alert.status) and _picks(query, "alert_key", alert.key)
    ]
    return _page(query, "alerts", [shown_alert(incident, alert) for alert in picked])


def on_calls(account: Account, query: Query) -> Reply:
    """List who is on call (api-reference/3a6b910f11050-list-all-of-the-on-calls), now: the default of `since`, `until`.

    With `earliest`, "only the earliest on-call for each combination of escalation policy, escalation level, and user is
    returned".
    """
    _known(query, {"include[]", "user_ids[]", "escalation_policy_ids[]", "schedule_ids[]", "earliest"})
    _one_of(query, "include[]", {"escalation_policies", "users", "schedules"})
    _one_of(query, "earliest", {"true", "1", "false", "0"})  # docs/rest-api-v2/types, Boolean
    picked = [
        on_call
        for on_call in account.on_calls
        if _picks(query, "user_ids[]", on_call.user)
        and _picks(query, "escalation_policy_ids[]", on_call.escalation_policy)
        and _picks(query, "schedule_ids[]", on_call.schedule)
    ]
    if query.get("earliest", ["false"])[0] in ("true", "1"):
        picked = list({(o.escalation_policy, o.level, o.user): o for o in reversed(picked)}.values())[::-1]
    whole = "users" in query.get("include[]", [])
    return _page(query, "oncalls", [shown_on_call(o, account.user(o.user), with_user=whole) for o in picked])


def _known(query: Query, parameters: set[str]) -> None:
    unknown = sorted(set(query) - parameters - PAGING)
    if unknown:
        raise Refused(f"unknown parameters {unknown}")


def _one_of(query: Query, name: str, values: set[str]) -> None:
    if not set(query.get(name, [])) <= values:
        raise Refused(f"{name} is not one of {', '.join(sorted(values))}")


def _picks(query: Query, name: str, value: str | None) -> bool:
    """Say whether a filter lets `value` through; one that isn't given lets everything."""
    return name not in query or value in query[name]


def _range(query: Query) -> tuple[datetime, datetime]:
    until = _moment(query, "until", datetime.now(UTC))
    since = _moment(query, "since", until - timedelta(days=30))
    if until - since > MAX_RANGE:
        raise Refused("since and until are more than 6 months apart")
    return since, until


def _moment(query: Query, name: str, default: datetime) -> datetime:
    """Return a time in ISO 8601 (docs/rest-api-v2/types, DateTime); UTC where it names no zone."""
    if name not in query:
        return default
    try:
        moment = datetime.fromisoformat(query[name][0])
    except ValueError:
        raise Refused(f"{name} is not an ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _page(query: Query, name: str, found: list[dict[str, object]]) -> Reply:
    """Answer one page (docs/rest-api-v2/pagination): 25 by default, 100 at most, 10,000 records in all."""
    limit, offset = _number(query, "limit", 25), _number(query, "offset", 0)
    if not 1 <= limit <= MAX_PAGE:
        raise Refused("limit is not between 1 and 100")
    if offset < 0 or offset + limit > MAX_RECORDS:
        raise Refused("offset is not a number, or offset and limit exceed 10000")
    more = len(found) > offset + limit
    shown = found[offset : offset + limit]
    return json_reply(200, {name: shown, "limit": limit, "offset": offset, "total": None, "more": more})


def _number(query: Query, name: str, default: int) -> int:
    """Return a number, -1 where it is none."""
    text = query.get(name, [str(default)])[0]
    return int(text) if text.isdigit() else -1
