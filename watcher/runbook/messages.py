"""What people read: the text in #deploy, and the incident's summary, details and note. Pure: from the case alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from watcher.judgement.rollouts import write_time
from watcher.runbook.case import Case

# The contacts of the config: a role to its Slack ID.
Contacts = Mapping[str, str]

# Characters, escaped. Slack takes no update above 4,000 for a whole message; all parts together stay below.
LONGEST_REASON = 1500
LONGEST_ENDING = 800
LONGEST_ERROR = 400
LONGEST_NAME = 300

NO_LONGER = "No longer so: see the newer message."


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
    lines = [_headline(case), f"{_tag(case, contacts)} {_incident(case)} Cluster {short(case.cluster, LONGEST_NAME)}."]
    lines += _course(case)
    return "\n".join(line for line in lines if line)


def alarm(case: Case, contacts: Contacts) -> str:
    """The message of its own that a case with a bad end is worth: whom it asks, and what is wrong."""
    return f"{_tag(case, contacts)} `{case.deployment}` in `{short(case.region, LONGEST_NAME)}`: {_ending(case)}"


def _reason(case: Case) -> str:
    return short(case.said, LONGEST_REASON).rstrip(".")


def _headline(case: Case) -> str:
    name, region = f"`{case.deployment}`", f"`{short(case.region, LONGEST_NAME)}`"
    if case.action == "Hold":
        return f"✋ Not rolling back {name} in {region}: {_reason(case)}. Revision {case.bad} stays."
    if case.action == "Escalate":
        return f"🆘 {name} in {region} is breaching and can't be rolled back: {_reason(case)}. A person is needed."
    target = case.result("confirm", "targetRevision")
    if case.rolled_back:
        moved = f"from revision {case.bad} to revision {target}"
        return f"🚨 Rolled back {name} in {region} {moved}. Reason: {_reason(case)}. Investigating root cause."
    if case.outcome == "overtaken":
        return f"↪️ {name} in {region} was changed by somebody else while revision {case.bad} was to be rolled back."
    return f"⚠️ {name} in {region} is to be rolled back from revision {case.bad}. Reason: {_reason(case)}."


def _tag(case: Case, contacts: Contacts) -> str:
    contact = contacts.get("sre-oncall")
    return mention(contact) if contact else "@sre-oncall"


def _incident(case: Case) -> str:
    page = case.step("page")
    address = escape(str(page.result.get("url") or ""))
    if 0 < len(address) <= LONGEST_ERROR:
        return f"<{address}|PagerDuty incident>."
    if page.state == "skipped":
        return "PagerDuty is not configured: nobody was paged."
    if page.error and not page.result.get("paged"):
        trying = "nobody was paged" if page.state == "failed" else "still trying"
        return f"PagerDuty could not be reached yet ({short(page.error, LONGEST_ERROR)}); {trying}."
    return f"PagerDuty incident `{short(case.id, LONGEST_NAME)}`."


def _course(case: Case) -> list[str]:
    """How it went on: each line is there once it is true."""
    lines = []
    for name in ("confirm", "revert"):
        record = case.step(name)
        if record.error and not record.over and not case.outcome:
            lines.append(f"The rollback has not succeeded yet: {short(record.error, LONGEST_ERROR)}. Still trying.")
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
        "not-verified": f"❌ NOT verified within {case.verify_within:.0f} s: {short(failing, LONGEST_ENDING)}. "
        "A person is needed; the incident stays open.",
        "overtaken": f"{_overtaken(case)}; what is there now stands.{_left_open(case)}",
        "recovered": "✅ Recovered: the breach is over, nothing was rolled back.",
        "superseded": f"A newer rollout took its place.{_left_open(case)}",
        "watch-ended": "Its watch has ended with the hold still on; the incident stays open.",
        "gave-up": f"❌ Given up after 24 h: {short(_failed(case), LONGEST_ENDING)}. A person is needed.",
    }.get(case.outcome, "")


def _overtaken(case: Case) -> str:
    said = short(case.ending, LONGEST_ERROR) or "somebody else changed the Deployment meanwhile"
    return said[0].upper() + said[1:]


def _left_open(case: Case) -> str:
    return " The incident stays open." if case.step("page").result.get("paged") else ""


def _failed(case: Case) -> str:
    return "; ".join(f"{name}: {record.error}" for name, record in case.steps.items() if record.state == "failed")


def summary(case: Case) -> str:
    """The incident's title (at most 1,024 characters at PagerDuty)."""
    what = {
        "Hold": "not rolled back (held)",
        "Escalate": "can't be rolled back",
        "RollBack": "rolled back" if case.rolled_back else "to be rolled back",
    }[case.action]
    return f"{case.subject} in {case.region}: revision {case.bad} {what}: {case.said}"[:1024]


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
        "rollout started": write_time(case.rollout_started),
        "opened": write_time(case.opened),
    }
    error = case.step("revert").error or case.step("confirm").error
    if error:
        shown["not rolled back yet"] = error
    return {key: value for key, value in shown.items() if value}


def closing_note(case: Case) -> str:
    """The incident's note at the end of the case, without Slack's markup."""
    ending = re.sub(r"^\W+", "", _ending(case) or f"Closed: {case.outcome}.")
    text = ending.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return f"canary-watch: {text} (case {case.id})"
