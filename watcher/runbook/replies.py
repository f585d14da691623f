"""What goes into a case's thread in Slack: each step's outcome as a reply. Pure: from the case alone.

`thread` posts them, each once; `messages` has the message that they hang on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watcher.judgement.rollouts import write_time
from watcher.runbook import messages
from watcher.runbook.case import ALARMING, Case, StepRecord
from watcher.runbook.messages import Contacts, escape, short

LONGEST_LINE = 500
MOST_LINES = 12

# In the runbook's order; what has nothing to tell people of its own is left out.
TOLD = ("confirm", "plan", "revert", "page", "migrate", "verify", "impact", "postmortem", "ticket", "review", "report")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `key` marks it, so that it is posted once; `broadcast` shows it in the channel, too."""

    key: str
    text: str
    broadcast: bool = False


def replies(case: Case, contacts: Contacts) -> tuple[Reply, ...]:
    """Every reply that a case's thread should have by now, in the order in which they came to be true."""
    steps = [(name, case.step(name)) for name in TOLD]
    over = [(name, record) for name, record in steps if record.over and record.state != "skipped"]
    over.sort(key=lambda pair: pair[1].finished or 0.0)
    found = [Reply(f"{case.id}/{case.turn}/{name}/{record.state}", _text(case, name, record)) for name, record in over]
    if case.turn:
        found.insert(0, Reply(f"{case.id}/turn-{case.turn}", messages.turned(case, contacts), broadcast=True))
    if case.outcome in ALARMING:
        found.append(Reply(f"{case.id}/{case.outcome}", messages.alarm(case, contacts), broadcast=True))
    return tuple(found)


def _text(case: Case, name: str, record: StepRecord) -> str:
    """One step's outcome: what, where and when, then its lines."""
    where = f"{short(case.cluster, 100)} ({short(case.region, 60)})"
    first = f"*{name}* {record.state}, {write_time(record.finished or case.opened)}, {where}"
    lines = [short(line, LONGEST_LINE) for line in _lines(case, name, record)]
    return "\n".join([first, *lines[:MOST_LINES], *_links(record)])


def _lines(case: Case, name: str, record: StepRecord) -> Iterator[str]:
    result = record.result
    if name == "confirm":
        yield f"revision {case.bad} is the one that was judged" + (f": {case.check}" if case.check else "")
        for one in result.get("history") or []:
            yield f"• {messages.revision_line(one)}"
        for change in result.get("changes") or []:
            yield f"• changed: {change}"
        if result.get("owner"):
            yield f"managed by {result['owner']}"
    elif name == "verify":
        for part in result.get("parts") or []:
            yield f"{'✔' if part['holds'] else '✘'} {part['said']}"
    elif name in ("plan", "migrate"):
        yield str(result.get("said") or messages.migration(case))
    elif name == "revert" and case.rolled_back:
        yield f"revision {result.get('from')} to {result.get('to') or '0 pods'}"
    elif result.get("said"):
        yield str(result["said"])
    if record.error:
        yield f"last failure: {record.error}"


def _links(record: StepRecord) -> list[str]:
    url = str(record.result.get("url") or "")
    name = short(str(record.result.get("key") or url), 100)
    return [f"<{escape(url)}|{name}>"] if url.startswith("http") and len(url) <= LONGEST_LINE else []
