"""What is written after a rollback (runbook, Post-Rollback): the postmortem, and the comment on the deployment ticket.

Pure: from the case and a few facts beside it. A case that an older daemon wrote lacks things; what is missing is left
out. Both name the case, by which they are found again, its cluster and its region. `document` renders them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from watcher.judgement.rollouts import write_time
from watcher.runbook.case import Case
from watcher.runbook.document import Block, Bullets, Code, Heading, Link, Paragraph, Spans, Strong, Table, plain

LONGEST_TITLE = 255  # characters of an issue's summary in Jira

OUTCOMES = {
    "verified": "The rollback is verified.",
    "not-verified": "The rollback could not be verified in time.",
    "migration-failed": "The database migration could not be taken back.",
    "put-back": "The bad revision was put back; it is not fought, and people were called.",
    "overtaken": "Somebody else changed the Deployment; what is there now stands.",
    "escalated": "It could not be rolled back; people were called.",
    "recovered": "The breach was over before anything was rolled back.",
    "superseded": "A newer rollout took its place.",
    "watch-ended": "Its watch has ended with the hold still on.",
    "gave-up": "The rollback was given up after 24 h.",
}

FOR_PEOPLE = {
    "Root cause": "What in the system let this happen, traced from the change to its effect; causes, not persons.",
    "What went well": "What noticed, limited or ended it: checks, safeguards, habits worth keeping.",
    "What went badly": "What was missing, late or in the way: in the code, the tests, the rollout or the runbook.",
    "Where we were lucky": "What could have made it worse and happened not to.",
    "Action items": "What will be changed so that it can't happen again: each with a ticket, an owner and a date.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the documents tell beside the case. What isn't known is left empty.

    `impact_said` is a whole phrase; `postmortem` says where it is, for the comment; `review` is when the review begins,
    in epoch seconds; `roles` are those of the runbook's contacts: their handles are Slack's, which Jira can't show.
    """

    impact_said: str = ""
    incident_url: str = ""
    dashboard_url: str = ""
    ticket: str = ""
    review: float | None = None
    roles: tuple[str, ...] = ()
    postmortem: str = ""
    postmortem_url: str = ""


def title(case: Case) -> str:
    """Give the postmortem's title: one line of at most 255 characters, with cluster and region first."""
    place = f"Postmortem ({plain(case.cluster, 60)}, {plain(case.region, 40)})"
    what = "rolled back" if case.rolled_back else "breached"
    return plain(f"{place}: {plain(case.subject, 110)} revision {case.bad} {what}", LONGEST_TITLE)


def postmortem(case: Case, facts: Facts) -> tuple[Block, ...]:
    """Write the postmortem: all that is known, and an empty section for each thing that only people know."""
    told = (_summary(case, facts), _impact(facts), _timeline(case), _evidence(case), _changes(case), _history(case))
    return _joined(case, *told, _verification(case), _migration(case), _links(facts), _for_people(facts))


def rollback_comment(case: Case, facts: Facts) -> tuple[Block, ...]:
    """Write the comment on the deployment ticket: what happened, why, and where to read on."""
    first = Paragraph((Strong(f"{_done(case)} in {_shown(case.region)}."), f" {_outcome(case)}"))
    told = (first, Bullets(tuple(_particulars(case, facts))))
    return _joined(case, told, _verification(case, 3), _migration(case, 3), _links(facts, 3))


def _joined(case: Case, *sections: Iterable[Block]) -> tuple[Block, ...]:
    """One document of all sections, and the line that both documents end with: the case is looked up by its id."""
    foot = Paragraph(("Case ", Code(case.id), f", cluster {_shown(case.cluster)}, region {_shown(case.region)}."))
    return (*chain.from_iterable(sections), foot)


def _shown(value: object) -> str:
    return str(value) if value not in (None, "") else "unknown"


def _done(case: Case) -> str:
    """Say in one sentence, without its place, what the case did."""
    if case.rolled_back:
        return f"{case.subject} was {_back(case)}"
    held = "held, not rolled back" if case.action == "Hold" else "not rolled back"
    return f"{case.subject} breached with revision {case.bad} and was {held}"


def _back(case: Case) -> str:
    if case.result("confirm", "scaleToZero"):
        return f"scaled to zero pods, revision {case.bad} being its only one"
    return f"rolled back from revision {case.bad} to revision {_shown(case.result('revert', 'to'))}"


def _outcome(case: Case) -> str:
    said = OUTCOMES.get(case.outcome, case.outcome or "The case is still open.")
    return f"{said} ({case.ending})" if case.ending and case.outcome != "verified" else said


def _particulars(case: Case, facts: Facts) -> Iterator[Spans]:
    """The case in short, a line each, with what is known only."""
    target, image = (case.result("confirm", key) for key in ("targetRevision", "targetImage"))
    lines: dict[str, Spans] = {
        "Deployment": (Code(case.subject),),
        "Cluster": (f"{_shown(case.cluster)}, region {_shown(case.region)}",),
        "Bad revision": _revision(case.bad, case.result("confirm", "badImage")),
        "Target revision": _revision(target, image) if target else (),
        "Reason": (case.said,),
        "Impact": (facts.impact_said,),
        "Deployment ticket": (facts.ticket,),
        "Postmortem": (Link(facts.postmortem, facts.postmortem_url),) if facts.postmortem else (),
        "Blameless review": (_time(facts.review),),
        "Case": (Code(case.id),),
    }
    for name, spans in lines.items():
        if any(span if isinstance(span, str) else span.text for span in spans):
            yield (Strong(f"{name}:"), " ", *spans)


def _revision(number: object, image: object) -> Spans:
    return (f"{number} (", Code(str(image)), ")") if image else (str(number),)


def _summary(case: Case, facts: Facts) -> Iterator[Block]:
    yield Heading(title(case), 1)
    place = f"in cluster {_shown(case.cluster)}, region {_shown(case.region)}"
    yield Paragraph((f"{_done(case)}, {place}. {_outcome(case)}",))
    blameless = "This postmortem is blameless: it asks how the system let this happen, never who."
    yield Paragraph(
        (f"{blameless} canary-watch wrote what it knows; the last sections are for the people who review it.",)
    )
    yield Bullets(tuple(_particulars(case, facts)))


def _impact(facts: Facts) -> Iterator[Block]:
    yield Heading("Impact")
    yield Paragraph((facts.impact_said or "Not known.",))


def _timeline(case: Case) -> Iterator[Block]:
    moments = sorted(((at, said) for at, said in _moments(case) if _time(at)), key=lambda moment: moment[0])
    if moments:
        yield Heading("Timeline (UTC)")
        yield Table(("Time", "What happened"), tuple(((_time(at),), (said,)) for at, said in moments))


def _moments(case: Case) -> Iterator[tuple[Any, str]]:
    """What happened, in the runbook's order, with its time; a time may be None."""
    yield case.rollout_started, f"Rollout of revision {case.bad} started"
    yield case.evidence.get("since"), f"Breach began: {case.said}"
    yield case.opened, f"Case opened: {case.action} ({case.reason})"
    if case.rolled_back:
        yield case.step("revert").finished, _back(case).capitalize()
    if case.result("page", "paged"):
        linked = case.result("page", "linked")
        yield (
            case.step("page").finished,
            "Noted on the open PagerDuty incident" if linked else "Paged through PagerDuty",
        )
    if case.step("announce").state == "done":
        yield _posted(case), "Announced in Slack"
    if case.step("verify").state == "done":
        yield case.step("verify").finished, _verdict(case)
    if _migrated(case):
        yield case.step("migrate").finished, _migrated(case)
    yield case.closed, f"Case closed: {_shown(case.outcome)}"


def _migrated(case: Case) -> str:
    """What came of taking the migration back; nothing where it wasn't tried, or isn't over."""
    record = case.step("migrate")
    done = "taken back" if record.result.get("matches") is True else "NOT taken back"
    said = record.result.get("said") or record.error or "no more is known"
    return f"Migration {done}: {said}" if record.state in ("done", "failed") else ""


def _posted(case: Case) -> float | None:
    """When the message was posted: its `ts` in Slack, since the step's own end moves with each edit."""
    place = case.result("announce", "place")
    try:
        return float(place["ts"])
    except (KeyError, TypeError, ValueError):
        return case.step("announce").finished


def _verdict(case: Case) -> str:
    parts = _parts(case)
    verified = case.result("verify", "verified") is True
    names = ", ".join(name for name, holds, _ in parts if holds is verified) or "nothing more is known"
    return f"Rollback verified by: {names}" if verified else f"Rollback NOT verified: {names}"


def _evidence(case: Case) -> Iterator[Block]:
    yield Heading("Evidence")
    lines: list[Spans] = [(case.said,), (f"Check: policy {_shown(case.policy)}, check {_shown(case.check)}",)]
    observed, threshold = case.evidence.get("observed"), case.evidence.get("threshold")
    if observed is not None and threshold is not None:
        lines.append((f"Observed {_number(observed)} beside a threshold of {_number(threshold)}",))
    numbers = case.evidence.get("numbers")
    counted = numbers if isinstance(numbers, Mapping) else {}
    yield Bullets((*lines, *((f"{name}: {_number(value)}",) for name, value in counted.items())))


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _changes(case: Case) -> Iterator[Block]:
    changes = _list(case.result("confirm", "changes"))
    if changes:
        yield Heading("What changed")
        yield Bullets(tuple((str(change),) for change in changes))


def _history(case: Case) -> Iterator[Block]:
    entries = [entry for entry in _list(case.result("confirm", "history")) if isinstance(entry, Mapping)]
    if entries:
        yield Heading("Rollout history")
        header = ("Revision", "Images", "Change cause", "Created", "Verdict")
        yield Table(header, tuple(_history_row(entry) for entry in entries))


def _history_row(entry: Mapping[str, Any]) -> tuple[Spans, ...]:
    images, created = entry.get("images"), entry.get("created")
    named = [str(image) for image in images] if isinstance(images, list | tuple) else [str(images or "")]
    when = created if isinstance(created, str) else _time(created)
    rest = (str(entry.get("changeCause") or ""), when, str(entry.get("verdict") or ""))
    return ((str(entry.get("revision", "")),), (Code(", ".join(named)),), *((text,) for text in rest))


def _verification(case: Case, level: int = 2) -> Iterator[Block]:
    parts = _parts(case)
    if parts:
        yield Heading("Verification", level)
        yield Bullets(tuple((Strong("holds:" if holds else "DOES NOT HOLD:"), f" {said}") for _, holds, said in parts))


def _parts(case: Case) -> list[tuple[str, bool, str]]:
    found = [part for part in _list(case.result("verify", "parts")) if isinstance(part, Mapping)]
    return [(str(part.get("name", "")), part.get("holds") is True, str(part.get("said", ""))) for part in found]


def _migration(case: Case, level: int = 2) -> Iterator[Block]:
    plan = case.step("plan").result
    lines = [f"Revision {case.bad} carried no migration"] if plan.get("carried") is False else []
    if plan.get("carried") is True:
        versions = f"to schema version {_shown(plan.get('from'))}, before it {_shown(plan.get('to'))}"
        lines.append(
            f"Revision {case.bad} carried a migration {versions}; going back: {_shown(plan.get('reversible'))}"
        )
    left = "The schema was left as it is, as the policy has it" if plan.get("left") else ""
    lines += [line for line in (str(plan.get("said") or ""), left, _migrated(case)) if line]
    if lines:
        yield Heading("Database migration", level)
        yield Bullets(tuple((line,) for line in lines))


def _links(facts: Facts, level: int = 2) -> Iterator[Block]:
    known = {
        "PagerDuty incident": facts.incident_url,
        "Dashboard at the time": facts.dashboard_url,
    }
    if any(known.values()):
        yield Heading("Links", level)
        yield Bullets(tuple((Link(text, url),) for text, url in known.items() if url))


def _for_people(facts: Facts) -> Iterator[Block]:
    """The sections that only people can write, each with a line that says what belongs there."""
    for heading, said in FOR_PEOPLE.items():
        yield Heading(heading)
        yield Paragraph((said,))
    if facts.roles:
        yield Heading("Contacts")
        yield Paragraph((f"The roles that the runbook names, as the config has them: {', '.join(facts.roles)}.",))


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _time(moment: object) -> str:
    """A time as people read it, in UTC; nothing for what is none, which a case edited by hand may hold."""
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        return ""
    try:
        return write_time(moment)
    except (ValueError, OverflowError, OSError):
        return ""
