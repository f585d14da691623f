"""Post-Rollback in the runbook: the impact, the postmortem, the deployment ticket, the blameless review.

Four steps, each against one outside system. What they write is `postmortem` and `review`; the case's thread links it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watcher.runbook.case import Case
from watcher.runbook.document import adf, fitted, markdown
from watcher.runbook.messages import Contacts
from watcher.runbook.ports import Announcer, Figures, Tracker
from watcher.runbook.postmortem import Facts, postmortem, rollback_comment, title
from watcher.runbook.review import Invitation, invitation, review_at
from watcher.runbook.step import Outcome
from watcher.runbook.thread import chart_name, end_of, place_of
from watcher.runbook.tickets import key_of
from watcher.systems.fault import Fault

LONGEST_DOCUMENT = 32_000  # characters; Jira takes 32,767 for a description or a comment
IMPACT_ATTEMPTS = 5  # then the impact is not known, which is said
INDEX_LAG = 60.0  # seconds after which Jira's search knows a ticket for sure


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a postmortem is filed: seconds, and a share of the requests. A review is held within seconds."""

    longer_than: float
    more_than: float
    review_within: float
    time_zone: str


class MeasureImpact:
    """Compute the share of requests affected and the duration, and with them whether a postmortem is due."""

    name = "impact"
    lane = "verify"
    write_ahead = False

    def __init__(self, figures: Figures, limits: Limits) -> None:
        self._figures = figures
        self._limits = limits

    def due(self, case: Case) -> bool:
        """After a rollback, however it has ended."""
        return case.rolled_back and bool(case.outcome) and not case.step("impact").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Ask Prometheus. What can't be had is said, and people decide."""
        try:
            impact = self._figures.impact(case, end_of(case, now))
        except Fault as fault:
            if case.step("impact").failures < IMPACT_ATTEMPTS - 1:
                raise
            said = f"the impact can't be computed ({fault}): whether a postmortem is due is for people to decide"
            return Outcome("done", {"said": said, "due": False}, said)
        long, many = impact.duration > self._limits.longer_than, (impact.share or 0.0) > self._limits.more_than
        due = long or many
        result: dict[str, Any] = {"share": impact.share, "duration": impact.duration, "due": due}
        said = f"impact: {impact.said}"
        if not due and impact.share is None:
            said += "; the share of requests isn't known: whether a postmortem is due is for people to decide"
        else:
            said += "; a postmortem is due" if due else "; no postmortem is due"
        if due:
            ended = end_of(case, now)
            result["review"] = review_at(ended, self._limits.review_within, self._limits.time_zone)
        return Outcome("done", {**result, "said": said}, said)


class FilePostmortem:
    """File the postmortem in Jira, with the chart; without Jira it goes into the thread as a Markdown file."""

    name = "postmortem"
    lane = "jira"
    write_ahead = True

    def __init__(
        self, tracker: Tracker | None, announcer: Announcer | None, figures: Figures, contacts: Contacts
    ) -> None:
        self._tracker = tracker
        self._announcer = announcer
        self._figures = figures
        self._contacts = contacts

    def due(self, case: Case) -> bool:
        """Once the impact is known."""
        return case.step("impact").over and not case.step("postmortem").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """File it once, then attach the chart."""
        if not case.result("impact", "due"):
            return Outcome("skipped", said="no postmortem is due")
        if self._tracker is not None:
            return self._file(self._tracker, case, now)
        place = place_of(case)
        if self._announcer is None or place is None:
            return Outcome("skipped", said="neither Jira nor Slack is there for it")
        name = f"postmortem-{case.deployment[:60]}-r{case.bad}-{case.uid[:8]}.md"
        if case.step("postmortem").attempts == 1 or name not in self._announcer.known(place):
            text = markdown(postmortem(case, facts_of(case, self._contacts)))
            self._announcer.upload(place, name, text.encode(), title(case))
        return Outcome("done", {"said": f"the postmortem is in this thread: {name}", "file": name}, name)

    def _file(self, tracker: Tracker, case: Case, now: float) -> Outcome:
        record = case.step("postmortem")
        if not record.result.get("key"):
            filed = self._filed_or_found(tracker, case, now)
            return Outcome("later", {**filed, "said": f"the postmortem is {filed['key']}"}, f"filed as {filed['key']}")
        key, name = str(record.result["key"]), chart_name(case)
        try:
            image = self._figures.chart(case, end_of(case, now))
        except Fault as fault:
            if record.failures < IMPACT_ATTEMPTS - 1:
                raise
            return Outcome("done", record.result, f"filed as {key}, without a chart: {fault}")
        if image is not None and name not in tracker.attached(key):
            tracker.attach(key, name, image)
        return Outcome("done", record.result, f"filed as {key}")

    def _filed_or_found(self, tracker: Tracker, case: Case, now: float) -> dict[str, str]:
        """File it, unless an attempt that was cut off has: Jira's search needs a while to know."""
        record, label = case.step("postmortem"), label_of(case)
        if record.attempts > 1:
            begun = record.first_try if record.first_try is not None else now
            if now - begun < INDEX_LAG:
                said = "an earlier attempt may have filed it; waiting until its search knows that"
                raise Fault("Jira", said, retry_after=INDEX_LAG - (now - begun))
            found = tracker.find(label)
            if found:
                return dict(found)
        facts = facts_of(case, self._contacts)
        due = datetime.fromtimestamp(facts.review or now, UTC).strftime("%Y-%m-%d")
        document = adf(fitted(postmortem(case, facts), LONGEST_DOCUMENT))
        try:
            return dict(tracker.create(title(case), document, ("canary-watch", "postmortem", label), due))
        except Fault as fault:  # it may have been filed all the same, and is looked for once the search would know
            wait = max(fault.retry_after or 0.0, INDEX_LAG)
            raise Fault(fault.system, fault.said, retry_after=wait, lasting=fault.lasting) from None


class CommentTicket:
    """Comment the rollback's details on the deployment ticket, which the annotation `ticket` names: once."""

    name = "ticket"
    lane = "jira"
    write_ahead = True

    def __init__(self, tracker: Tracker | None, contacts: Contacts) -> None:
        self._tracker = tracker
        self._contacts = contacts

    def due(self, case: Case) -> bool:
        """After the postmortem, so that its link is in the comment."""
        return case.step("postmortem").over and not case.step("ticket").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Comment, unless an attempt that was cut off has."""
        written = str(case.result("confirm", "ticket") or "")
        key = key_of(written)
        if self._tracker is None or not written:
            return Outcome("skipped", said="Jira is not configured" if written else "the Deployment names no ticket")
        if not key:
            said = f"the annotation ticket is {written[:80]!r}; right would be a key like OPS-12, or its address"
            return Outcome("done", {"said": said}, said)
        if case.step("ticket").attempts == 1 or not self._tracker.commented(key, case.id):
            document = adf(fitted(rollback_comment(case, facts_of(case, self._contacts)), LONGEST_DOCUMENT))
            self._tracker.comment(key, document)
        said = f"the rollback is on the deployment ticket {key}"
        return Outcome("done", {"said": said, "ticket": key}, said)


class InviteToReview:
    """Put the invitation to the blameless review into the thread: within 48 hours (runbook, Post-Rollback)."""

    name = "review"
    lane = "slack"
    write_ahead = True

    def __init__(self, announcer: Announcer | None) -> None:
        self._announcer = announcer

    def due(self, case: Case) -> bool:
        """After the postmortem, which is what is reviewed."""
        return case.step("postmortem").over and not case.step("review").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Upload the invitation."""
        start, place = case.result("impact", "review"), place_of(case)
        if not isinstance(start, float | int) or self._announcer is None or place is None:
            return Outcome("skipped", said="no review is due" if start is None else "there is no thread for it")
        name = f"review-{case.deployment[:60]}-r{case.bad}-{case.uid[:8]}.ics"
        if case.step("review").attempts == 1 or name not in self._announcer.known(place):
            self._announcer.upload(
                place,
                name,
                invitation(_invitation(case, float(start))),
                f"Blameless review: {case.subject} in {case.place}",
            )
        when = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
        said = f"the blameless review is on {when}; the invitation is in this thread"
        return Outcome("done", {"said": said, "file": name}, said)


def _invitation(case: Case, start: float) -> Invitation:
    said = f"Blameless review: {case.subject} revision {case.bad} in {case.place}"
    text = f"{said}. {case.said}. Case {case.id}."
    stamp = case.step("impact").finished or case.opened
    url = str(case.result("postmortem", "url") or "")
    return Invitation(f"{label_of(case)}@canary-watch", start, stamp, said, text, url)


def label_of(case: Case) -> str:
    """The label by which a case's ticket is found again: labels hold no spaces and no slashes."""
    return f"canary-watch-{hashlib.sha256(case.id.encode()).hexdigest()[:16]}"


def facts_of(case: Case, contacts: Contacts) -> Facts:
    """What the documents tell beside the case."""
    review, ticket = case.result("impact", "review"), str(case.result("confirm", "ticket") or "")
    return Facts(
        impact_said=str(case.result("impact", "said") or ""),
        incident_url=str(case.result("page", "url") or ""),
        dashboard_url=str(case.result("dashboard", "link") or ""),
        ticket=key_of(ticket),
        review=float(review) if isinstance(review, float | int) else None,
        contacts=dict(contacts),
    )
