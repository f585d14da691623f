"""Post-Rollback in the runbook: the impact, the postmortem, the deployment ticket, the blameless review.

Four steps, each against one outside system. What they write is `postmortem` and `review`; the case's thread links it.
What a system refuses for good is not tried for a day: the thread says so, and the rest goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from watcher.runbook.case import Case, StepRecord
from watcher.runbook.document import adf, fitted, markdown
from watcher.runbook.messages import Contacts
from watcher.runbook.ports import Announcer, Figures, Tracker
from watcher.runbook.postmortem import Facts, postmortem, rollback_comment, title
from watcher.runbook.review import Invitation, invitation, review_at
from watcher.runbook.step import Outcome
from watcher.runbook.thread import chart_name, end_of, given_up, known_in, place_of
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
            return self._concluded(case, now, {"said": f"the impact can't be computed ({fault})"}, None)
        long, many = impact.duration > self._limits.longer_than, (impact.share or 0.0) > self._limits.more_than
        due = True if long or many else None if impact.share is None else False
        result = {"share": impact.share, "duration": impact.duration, "said": f"impact: {impact.said}"}
        return self._concluded(case, now, result, due)

    def _concluded(self, case: Case, now: float, measured: dict[str, Any], due: bool | None) -> Outcome:
        """Say whether a postmortem is due (None: people decide), and when its review is.

        Without a verified rollback nothing has ended: what was measured is the least of it.
        """
        if case.outcome != "verified":
            due, follows = True, "the incident goes on: a postmortem is due"
        elif due is None:
            follows = "whether a postmortem is due is for people to decide"
        else:
            follows = "a postmortem is due" if due else "no postmortem is due"
        result = {**measured, "due": bool(due), "said": f"{measured['said']}; {follows}"}
        if due:
            result["review"] = review_at(end_of(case, now), self._limits.review_within, self._limits.time_zone)
        return Outcome("done", result, str(result["said"]))


class FilePostmortem:
    """File the postmortem in Jira, with the chart; without Jira it goes into the thread as a Markdown file.

    So it does where Jira refuses it for good: a project that demands one more field, say.
    """

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
        """Once the impact is known; without Jira not before the thread is there."""
        early = self._tracker is None and _thread_to_come(self._announcer, case)
        return case.step("impact").over and not case.step("postmortem").over and not early

    def carry_out(self, case: Case, now: float) -> Outcome:
        """File it once, then attach the chart."""
        if not case.result("impact", "due"):
            return Outcome("skipped", said="no postmortem is due")
        record, why = case.step("postmortem"), ""
        if self._tracker is not None:
            try:
                return self._file(self._tracker, case, now)
            except Fault as fault:
                if not given_up(record, fault) or _thread_to_come(self._announcer, case):
                    raise
                why = f"the postmortem could not be filed in Jira: {fault.said}; "
        try:
            return self._into_thread(case, why)
        except Fault as fault:
            if not given_up(record, fault):
                raise
            said = f"{why}the postmortem could not be put into this thread: {fault.said}"
            return Outcome("done", {"said": said}, said)

    def _into_thread(self, case: Case, why: str) -> Outcome:
        """Upload it as Markdown, once. `why` says what was tried before; without that and a thread it is skipped."""
        place = place_of(case)
        if self._announcer is None or place is None:
            said = f"{why}there is no thread for it"
            return Outcome("done" if why else "skipped", {"said": said} if why else {}, said)
        name = f"postmortem-{case.deployment[:60]}-r{case.bad}-{case.uid[:8]}.md"
        if case.step("postmortem").attempts == 1 or name not in known_in(self._announcer, place):
            text = markdown(postmortem(case, facts_of(case, self._contacts)))
            self._announcer.upload(place, name, text.encode(), title(case))
        return Outcome("done", {"said": f"{why}the postmortem is in this thread: {name}", "file": name}, name)

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
            return _without_chart(record, fault)
        try:
            if image is not None and name not in tracker.attached(key):
                tracker.attach(key, name, image)
        except Fault as fault:
            if not given_up(record, fault):
                raise
            return _without_chart(record, fault)
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


def _without_chart(record: StepRecord, fault: Fault) -> Outcome:
    said = f"the postmortem is {record.result['key']}, without its chart: {fault}"
    return Outcome("done", {**record.result, "said": said}, said)


class CommentTicket:
    """Comment the rollback's details on the deployment ticket, which the annotation `ticket` names: once."""

    name = "ticket"
    lane = "jira"
    write_ahead = True

    def __init__(self, tracker: Tracker | None, contacts: Contacts) -> None:
        self._tracker = tracker
        self._contacts = contacts

    def due(self, case: Case) -> bool:
        """After the postmortem, so that its link is in the comment: while Jira is away, neither can be written."""
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
        try:
            if case.step("ticket").attempts == 1 or not self._tracker.commented(key, case.id):
                where, url = _postmortem_of(case)
                facts = replace(facts_of(case, self._contacts), postmortem=where, postmortem_url=url)
                self._tracker.comment(key, adf(fitted(rollback_comment(case, facts), LONGEST_DOCUMENT)))
        except Fault as fault:
            if not given_up(case.step("ticket"), fault):
                raise
            said = f"the rollback could not be written on the deployment ticket {key}: {fault}"
            return Outcome("done", {"said": said}, said)
        said = f"the rollback is on the deployment ticket {key}"
        return Outcome("done", {"said": said, "ticket": key}, said)


def _postmortem_of(case: Case) -> tuple[str, str]:
    """Where the postmortem is, as the deployment ticket says it, and its address; nothing where none was due."""
    record = case.step("postmortem")
    result = record.result
    if result.get("key"):
        return str(result["key"]), str(result.get("url") or "")
    in_thread = f"{result['file']}, in the case's thread in Slack" if result.get("file") else ""
    return in_thread or str(result.get("said") or record.error), ""


class InviteToReview:
    """Put the invitation to the blameless review into the thread: within 48 hours (runbook, Post-Rollback)."""

    name = "review"
    lane = "slack"
    write_ahead = True

    def __init__(self, announcer: Announcer | None) -> None:
        self._announcer = announcer

    def due(self, case: Case) -> bool:
        """Once the postmortem, which is what is reviewed, was tried: people are invited though Jira is away."""
        ready = case.step("postmortem").tried and not _thread_to_come(self._announcer, case)
        return ready and not case.step("review").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Upload the invitation. When the review is, is said in any case."""
        start, place = case.result("impact", "review"), place_of(case)
        if not isinstance(start, float | int) or self._announcer is None or place is None:
            return Outcome("skipped", said="no review is due" if start is None else "there is no thread for it")
        name = f"review-{case.deployment[:60]}-r{case.bad}-{case.uid[:8]}.ics"
        said = f"the blameless review is on {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC; "
        try:
            if case.step("review").attempts == 1 or name not in known_in(self._announcer, place):
                content = invitation(_invitation(case, float(start)))
                self._announcer.upload(place, name, content, f"Blameless review: {case.subject} in {case.place}")
        except Fault as fault:
            if not given_up(case.step("review"), fault):
                raise
            said += f"the invitation could not be put into this thread: {fault.said}"
            return Outcome("done", {"said": said}, said)
        said += "the invitation is in this thread"
        return Outcome("done", {"said": said, "file": name}, said)


def _thread_to_come(announcer: Announcer | None, case: Case) -> bool:
    return announcer is not None and place_of(case) is None and not case.step("announce").over


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
        roles=tuple(contacts),
    )
