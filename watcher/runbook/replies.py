"""What goes into a case's thread in Slack: each step's outcome as a reply. Pure: from the case alone.

`thread` posts them, each once; `messages` has the message that they hang on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.judgement.rollouts import write_time
from watcher.runbook import messages
from watcher.runbook.case import ALARMING, Case, StepRecord
from watcher.runbook.messages import LONGEST, Contacts, escape, fitting, short

LONGEST_LINE = 500

# In the runbook's order; what has nothing to tell people of its own is left out.
TOLD = (
    *("confirm", "plan", "revert", "page", "database-team", "migrate", "verify", "impact"),
    *("postmortem", "ticket", "review", "dashboard", "report"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `key` marks it, so that it is posted once; `broadcast` shows it in the channel, too."""

    key: str
    text: str
    broadcast: bool = False


def replies(case: Case, contacts: Contacts) -> tuple[Reply, ...]:
    """Every reply that a case's thread should have by now, in the order in which they came to be true.

    A step that is done once more, as after a turn, has another reply; one that a turn leaves as it is has none. A turn
    that the message was posted after is told by the message itself.
    """
    steps = [(name, case.step(name)) for name in TOLD]
    over = [(name, record) for name, record in steps if _tells(name, record)]
    over.sort(key=lambda pair: pair[1].finished or 0.0)
    found = [Reply(_key(case, name, record), _text(case, name, record, contacts)) for name, record in over]
    if case.turn > int(case.result("announce", "turn") or 0):
        found.insert(0, Reply(f"{case.id}/turn-{case.turn}", messages.turned(case, contacts), broadcast=True))
    if case.outcome in ALARMING:
        key = f"{case.id}/{case.turn}/{case.outcome}"
        found.append(Reply(key, messages.alarm(case, contacts), broadcast=True))
    return tuple(found)


def _tells(name: str, record: StepRecord) -> bool:
    """Say whether a step has come to something that people should read; the dashboard only where a mark is missing."""
    if name == "dashboard" and record.state == "done":
        return bool(record.result.get("said"))
    return record.over and record.state != "skipped"


def _key(case: Case, name: str, record: StepRecord) -> str:
    return f"{case.id}/{name}/{record.state}/{record.finished or 0.0:.3f}"


def _text(case: Case, name: str, record: StepRecord, contacts: Contacts) -> str:
    """One step's outcome: what, where and when, then as many of its lines as there is room for.

    The platform lead is tagged at the postmortem.
    """
    where = f"{short(case.cluster, 100)} ({short(case.region, 60)})"
    first = f"*{name}* {record.state}, {write_time(record.finished or case.opened)}, {where}"
    if name == "postmortem" and record.state == "done":
        first += f" {messages.tag(case, contacts, 'platform-lead')}"
    links = _links(record)
    lines = [short(line, LONGEST_LINE) for line in _lines(case, name, record)]
    kept = fitting(lines, LONGEST - sum(len(line) + 1 for line in (first, *links)))
    more = [f"… and {len(lines) - len(kept)} more lines"] if len(kept) < len(lines) else []
    return "\n".join([first, *kept, *more, *links])


def _lines(case: Case, name: str, record: StepRecord) -> Iterator[str]:
    result = record.result
    if name == "confirm":
        yield from _found(case, result)
    elif name == "verify":
        for part in result.get("parts") or []:
            yield f"{'✔' if part['holds'] else '✘'} {part['said']}"
    elif name in ("plan", "migrate"):
        yield str(result.get("said") or messages.migration(case))
    elif name == "revert" and case.rolled_back:
        yield f"revision {result.get('from')} to {result.get('to') or '0 pods'}"
    elif name == "page" and record.state == "done":
        yield f"noted on the incident of {result.get('alert')}" if result.get("linked") else "the on-call was paged"
    elif name == "database-team" and record.state == "done":
        yield "the database team was paged"
    elif result.get("said"):
        yield str(result["said"])
    if record.error:
        yield f"last failure: {record.error}"


def _found(case: Case, result: Mapping[str, Any]) -> Iterator[str]:
    """What confirming found out, the most useful first."""
    yield f"revision {case.bad} is the one that was judged" + (f": {case.check}" if case.check else "")
    if result.get("owner"):
        yield f"managed by {result['owner']}"
    for change in result.get("changes") or []:
        yield f"• changed: {change}"
    for one in result.get("history") or []:
        yield f"• {messages.revision_line(one)}"


def _links(record: StepRecord) -> list[str]:
    url = escape(str(record.result.get("url") or ""))
    name = short(str(record.result.get("key") or record.result.get("url")), 100)
    return [f"<{url}|{name}>"] if url.startswith("http") and len(url) <= LONGEST_LINE else []
