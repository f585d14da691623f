"""What people read: the text in #deploy, and the incident's summary, details and note. Pure: from the case alone.

`replies` has what goes into the message's thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from watcher.judgement.rollouts import write_time
from watcher.runbook.case import BY_HAND, Case
from watcher.runbook.migrations import needs_database_team, patience_of

# The contacts of the config: a role to its Slack ID.
Contacts = Mapping[str, str]

# Characters, escaped. Slack takes no update above 4,000 for a whole message: what must be said stays below in any case,
# and what is good to know is added as far as there is room.
LONGEST = 3900
LONGEST_REASON = 1000
LONGEST_ENDING = 800
LONGEST_ERROR = 400
LONGEST_NAME = 200
LONGEST_FACT = 600
MOST_TAGGED = 3  # people for one role
MOST_REVISIONS = 3

NOWHERE = {
    "sre-oncall": "@sre-oncall",
    "database-team": "@db-oncall",
    "platform-lead": "platform lead",
    "incident-commander": "incident commander",
}
"""How a role is named where nothing says how to tag it."""


def escape(text: str) -> str:
    """Escape what Slack's mrkdwn takes for markup: https://docs.slack.dev/messaging/formatting-message-text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str, most: int) -> str:
    """Put a text on one line, escaped, in at most `most` characters, never cut inside an escape."""
    line = escape(" ".join(text.split()))
    return line if len(line) <= most else re.sub(r"&[a-z]*$", "", line[: most - 1]).rstrip() + "…"


def mention(contact: str) -> str:
    """Tag a contact: a user group by its S... ID, a user by U... or W..."""
    return f"<!subteam^{contact}>" if contact.startswith("S") else f"<@{contact}>"


def announcement(case: Case, contacts: Contacts) -> str:
    """The message in #deploy as it should stand now; the first line is the runbook's (step 4)."""
    where = f"{_incident(case)} Cluster {short(case.cluster, LONGEST_NAME)}."
    first = [headline(case), f"{tags(case, contacts)} {where}"]
    last = _course(case)
    room = LONGEST - sum(len(line) + 1 for line in (*first, *last))
    return "\n".join(line for line in (*first, *fitting(_facts(case), room), *last) if line)


def alarm(case: Case, contacts: Contacts) -> str:
    """The reply, shown in the channel too, that a case with a bad end is worth: whom it asks, and what is wrong."""
    asked = " ".join([tags(case, contacts), *(tag(case, contacts, r) for r in ("platform-lead", "incident-commander"))])
    return f"{asked} `{case.deployment}` in {_place(case)}: {_ending(case)}"


def turned(case: Case, contacts: Contacts) -> str:
    """The reply, shown in the channel too, that says what is done now instead: nobody is told by an edit."""
    return f"{tags(case, contacts)} Cluster {short(case.cluster, LONGEST_NAME)}: {headline(case)}"


def tags(case: Case, contacts: Contacts) -> str:
    """Whom a case asks: the on-call engineer; and who else has to decide."""
    roles = ["sre-oncall"]
    roles += ["database-team"] if needs_database_team(case) else []
    roles += ["incident-commander"] if case.action == "Escalate" else []
    return " ".join(tag(case, contacts, role) for role in roles)


def tag(case: Case, contacts: Contacts, role: str) -> str:
    """Tag a role: whoever is on call now, where that was found out, else the contact, else its name alone."""
    found = case.result("oncall", role)
    people = [str(one) for one in found][:MOST_TAGGED] if isinstance(found, list) else []
    if people:
        return " ".join(mention(one) for one in people)
    return mention(contacts[role]) if role in contacts else NOWHERE.get(role, role)


def fitting(lines: Iterable[str], room: int) -> list[str]:
    """As many of the lines, from the first on, as there is room for."""
    kept = []
    for line in lines:
        room -= len(line) + 1
        if room >= 0:
            kept.append(line)
    return kept


def _facts(case: Case) -> Iterable[str]:
    """What was found out about the release, the most useful first: runbook, step 1."""
    owner, writer = str(case.result("confirm", "owner") or ""), str(case.result("confirm", "writer") or "")
    if case.reason == "put-back" and writer:
        yield f"Put back by {short(writer, LONGEST_NAME)}. canary-watch doesn't fight it."
    elif owner and case.action == "RollBack":
        yield f"Managed by {short(owner, LONGEST_NAME)}: change it there, too, or it may put revision {case.bad} back."
    elif owner:
        yield f"Managed by {short(owner, LONGEST_NAME)}."
    said = migration(case)
    if said:
        yield f"Migration: {short(said, LONGEST_FACT)}."
    changes = case.result("confirm", "changes")
    if changes:
        yield f"Changed by revision {case.bad}: {short('; '.join(map(str, changes)), LONGEST_FACT)}."
    history = case.result("confirm", "history")
    if history:
        shown = "; ".join(revision_line(one) for one in history[:MOST_REVISIONS])
        yield f"Newest revisions: {short(shown, LONGEST_FACT)}."
    link = str(case.result("dashboard", "link") or "")
    if link:
        yield f"<{escape(link)}|Dashboard>"


def revision_line(one: Mapping[str, object]) -> str:
    """One revision of the rollout history, as `kubectl rollout history` and a little more says it."""
    extra = [str(one.get(key)) for key in ("created", "verdict", "changeCause") if one.get(key)]
    return f"{one.get('revision')} {one.get('images')}" + (f" ({', '.join(extra)})" if extra else "")


def migration(case: Case) -> str:
    """What is known of the release's database migration; empty where no policy speaks of one."""
    plan, migrate = case.step("plan"), case.step("migrate")
    if migrate.result.get("said"):
        return str(migrate.result["said"])
    if plan.state != "done":
        return ""
    moved = f"from {plan.result.get('from')} to {plan.result.get('to')}"
    if not plan.result.get("carried"):
        return f"none of what the policy reads; the schema is at {plan.result.get('to')}"
    if plan.result.get("left"):
        return f"the schema was LEFT at {plan.result.get('from')}: going back is {plan.result.get('reversible')}"
    return f"to be taken back {moved}"


def _place(case: Case) -> str:
    return f"`{short(case.region, LONGEST_NAME)}` (cluster {short(case.cluster, LONGEST_NAME)})"


def _reason(case: Case) -> str:
    return short(case.said, LONGEST_REASON).rstrip(".")


def headline(case: Case) -> str:
    """What is done about which revision, and why; the runbook's own words where it was rolled back (step 4)."""
    name, region = f"`{case.deployment}`", f"`{short(case.region, LONGEST_NAME)}`"
    if case.action == "Hold":
        return f"✋ Not rolling back {name} in {region}: {_reason(case)}. Revision {case.bad} stays."
    if case.action == "Escalate" and case.reason == "put-back":
        return f"🆘 {name} in {region}: {_reason(case)}. A person is needed."
    if case.action == "Escalate":
        breaching = "" if case.reason == BY_HAND else "is breaching and "
        return f"🆘 {name} in {region} {breaching}can't be rolled back: {_reason(case)}. A person is needed."
    target = case.result("confirm", "targetRevision")
    if case.rolled_back and case.result("confirm", "scaleToZero"):
        alone = f"revision {case.bad} has no earlier one to go back to"
        return f"🚨 Scaled {name} in {region} to zero: {alone}. Reason: {_reason(case)}. Investigating root cause."
    if case.rolled_back:
        moved = f"from revision {case.bad} to revision {target}"
        return f"🚨 Rolled back {name} in {region} {moved}. Reason: {_reason(case)}. Investigating root cause."
    if case.outcome == "overtaken":
        return f"↪️ {name} in {region} was changed by somebody else while revision {case.bad} was to be rolled back."
    return f"⚠️ {name} in {region} is to be rolled back from revision {case.bad}. Reason: {_reason(case)}."


def _incident(case: Case) -> str:
    page = case.step("page")
    address = escape(str(page.result.get("url") or ""))
    if 0 < len(address) <= LONGEST_ERROR:
        already = f" (already open for `{short(str(page.result['alert']), 60)}`)" if page.result.get("alert") else ""
        return f"<{address}|PagerDuty incident>{already}."
    if page.state == "skipped":
        return "PagerDuty is not configured: nobody was paged."
    if page.error and not page.result.get("paged"):
        trying = "nobody was paged" if page.state == "failed" else "still trying"
        return f"PagerDuty could not be reached yet ({short(page.error, LONGEST_ERROR)}); {trying}."
    if page.result.get("linked"):
        return f"PagerDuty incident of `{short(str(page.result.get('alert')), 60)}`, which was open."
    return f"PagerDuty incident `{short(case.incident_key, LONGEST_NAME)}`."


def _course(case: Case) -> list[str]:
    """How it went on: each line is there once it is true."""
    lines = []
    failing = [case.step(name) for name in ("confirm", "plan", "migrate", "revert")]
    error = next((record.error for record in failing if record.error and not record.over), "")
    if error and case.action == "RollBack" and not case.rolled_back and not case.outcome:
        lines.append(f"The rollback has not succeeded yet: {short(error, LONGEST_ERROR)}. Still trying.")
    said = _ending(case)
    if said:
        lines.append(said)
    elif case.rolled_back:
        lines.append("Verifying.")
    return lines


def _ending(case: Case) -> str:
    record = case.step("verify")
    parts = [str(part["said"]) for part in record.result.get("parts") or []]
    failing = "; ".join(str(part["said"]) for part in record.result.get("parts") or [] if not part["holds"])
    return {
        "verified": f"✅ Verified: {short('; '.join(parts), LONGEST_ENDING)}.",
        "not-verified": f"❌ NOT verified within {patience_of(case):.0f} s: {short(failing, LONGEST_ENDING)}. "
        "A person is needed; the incident stays open.",
        "migration-failed": _migration_failed(case),
        "put-back": f"❌ {_overtaken(case)}. It is not fought: a person is needed; the incident stays open.",
        "overtaken": f"{_overtaken(case)}; what is there now stands.{_left_open(case)}",
        "recovered": "✅ Recovered: the breach is over, nothing was rolled back.",
        "superseded": f"A newer rollout took its place.{_left_open(case)}",
        "watch-ended": "Its watch has ended with the hold still on; the incident stays open.",
        "gave-up": f"❌ Given up after 24 h: {short(_failed(case), LONGEST_ENDING)}. A person is needed.",
    }.get(case.outcome, "")


def _migration_failed(case: Case) -> str:
    """What became of the schema is in the case's ending: a Job that failed, or a release that came meanwhile."""
    said = short(_capital(case.ending or migration(case)), LONGEST_ENDING)
    more = ". The code is back, the schema is not" if case.rolled_back and case.result("migrate", "failed") else ""
    return f"❌ {said}{more}: the database team is needed."


def _overtaken(case: Case) -> str:
    return _capital(short(case.ending, LONGEST_ERROR) or "somebody else changed the Deployment meanwhile")


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]


def _left_open(case: Case) -> str:
    return " The incident stays open." if case.step("page").result.get("paged") else ""


def _failed(case: Case) -> str:
    return "; ".join(f"{name}: {record.error}" for name, record in case.steps.items() if record.state == "failed")


def summary(case: Case) -> str:
    """The incident's title (at most 1,024 characters at PagerDuty)."""
    back = "scaled to zero" if case.result("confirm", "scaleToZero") else "rolled back"
    what = {
        "Hold": "not rolled back (held)",
        "Escalate": "can't be rolled back",
        "RollBack": back if case.rolled_back else f"to be {back}",
    }[case.action]
    team = "database team needed: " if needs_database_team(case) else ""
    return f"{case.subject} in {case.place}: {team}revision {case.bad} {what}: {case.said}"[:1024]


def details(case: Case) -> dict[str, str]:
    """What the incident shows below its title."""
    shown = {
        "case": case.id,
        "cluster": case.cluster,
        "region": case.region,
        "deployment": case.subject,
        "bad revision": str(case.bad),
        "rolled back to": str(case.result("confirm", "targetRevision") or ""),
        "bad image": str(case.result("confirm", "badImage") or ""),
        "image": str(case.result("confirm", "targetImage") or ""),
        "decision": f"{case.action} ({case.reason})",
        "policy": f"{case.policy}/{case.check}",
        "evidence": case.said,
        "changed": "; ".join(map(str, case.result("confirm", "changes") or [])),
        "managed by": str(case.result("confirm", "owner") or ""),
        "migration": migration(case),
        "dashboard": str(case.result("dashboard", "link") or ""),
        "rollout started": write_time(case.rollout_started),
        "opened": write_time(case.opened),
    }
    error = next((e for name in ("revert", "plan", "confirm") if (e := case.step(name).error)), "")
    if error:
        shown["not rolled back yet"] = error
    return {key: value for key, value in shown.items() if value}


def closing_note(case: Case) -> str:
    """The incident's note at the end of the case, without Slack's markup."""
    ending = re.sub(r"^\W+", "", _ending(case) or f"Closed: {case.outcome}.")
    text = ending.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return f"canary-watch: {text} {case.place}, case {case.id}"


def opening_note(case: Case) -> str:
    """The note on an incident that was open before: the same words however often it is tried."""
    said = " ".join(case.said.split())[:LONGEST_REASON]
    return f"canary-watch takes revision {case.bad} of {case.subject} in {case.place} back: {said} (case {case.id})"
