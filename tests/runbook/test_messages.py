"""What people read: the sentence of the runbook, to the letter, and a line for every way that it may go on."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runbook.parts import TARGET, case_of
from watcher.runbook import messages
from watcher.runbook.case import BY_HAND, Case, CaseAction, StepRecord

GROUP = {"sre-oncall": "S0123ABCD"}
PARTS = [
    {"name": "rollout", "holds": True, "said": "rollout complete"},
    {"name": "readyz", "holds": False, "said": "/readyz answers 200 on 1 of 2 pods"},
]


def rolled_back(said: str = "error-rate above 1%") -> Case:
    """A case whose revert is done and whose incident is open."""
    case = case_of(said=said).with_step("confirm", StepRecord("done", result=TARGET))
    case = case.with_step("revert", StepRecord("done", result={"from": 2, "to": 1, "newRevision": 3}))
    return case.with_step("page", StepRecord("done", result={"paged": "RollBack"}))


def test_the_runbooks_sentence() -> None:
    """The first line in #deploy is the runbook's step 4, to the letter."""
    assert messages.announcement(rolled_back(), GROUP).splitlines()[0] == (
        "🚨 Rolled back `checkout` in `us-east-1` from revision 2 to revision 1. "
        "Reason: error-rate above 1%. Investigating root cause."
    )


def test_a_reason_with_a_full_stop_gets_no_second_one() -> None:
    """The sentence stays a sentence where the reason already ends as one."""
    assert "Reason: it broke. Investigating" in messages.announcement(rolled_back("it broke."), GROUP)


@pytest.mark.parametrize(
    ("contacts", "tag"),
    [
        ({"sre-oncall": "S0123ABCD"}, "<!subteam^S0123ABCD>"),
        ({"sre-oncall": "U0789IJKL"}, "<@U0789IJKL>"),
        ({"sre-oncall": "W0789IJKL"}, "<@W0789IJKL>"),
        ({}, "@sre-oncall"),
    ],
)
def test_tags_the_on_call_engineer(contacts: dict[str, str], tag: str) -> None:
    """A user group, a user, or at least the words: the on-call contact is tagged."""
    assert messages.announcement(rolled_back(), contacts).splitlines()[1].startswith(f"{tag} ")


def test_links_the_incident_or_names_its_key() -> None:
    """With an address the incident is linked, without one its key is named."""
    case = rolled_back()
    assert f"PagerDuty incident `{case.id}`." in messages.announcement(case, GROUP)
    linked = case.with_step(
        "page", StepRecord("done", result={"paged": "RollBack", "url": "https://pd.example/Q1?a&b"})
    )
    assert "<https://pd.example/Q1?a&amp;b|PagerDuty incident>." in messages.announcement(linked, GROUP)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (StepRecord("skipped"), "PagerDuty is not configured: nobody was paged."),
        (StepRecord("waiting", error="HTTP 500"), "PagerDuty could not be reached yet (HTTP 500); still trying."),
        (StepRecord("failed", error="HTTP 500"), "PagerDuty could not be reached yet (HTTP 500); nobody was paged."),
    ],
)
def test_says_when_nobody_was_paged(page: StepRecord, said: str) -> None:
    """Where the page did not get through, the message says so."""
    assert said in messages.announcement(rolled_back().with_step("page", page), GROUP)


def test_a_reason_cannot_ping() -> None:
    """Markup in evidence is shown, not obeyed: no <!channel>, no link, no mention."""
    text = messages.announcement(rolled_back("<!channel> & <@U1> <https://x|y>\n🚨 fake"), GROUP)
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt; &lt;https://x|y&gt; 🚨 fake" in text.splitlines()[0]
    assert text.count("<") == 1


OUTCOMES = {
    "verified": "✅ Verified: rollout complete; /readyz answers",
    "not-verified": "❌ NOT verified within 600 s: /readyz answers 200 on 1 of 2 pods. A person is needed",
    "overtaken": "Somebody else changed the Deployment meanwhile; what is there now stands.",
    "recovered": "✅ Recovered: the breach is over, nothing was rolled back.",
    "superseded": "A newer rollout took its place.",
    "watch-ended": "Its watch has ended with the hold still on; the incident stays open.",
    "gave-up": "❌ Given up after 24 h: revert: HTTP 403. A person is needed.",
}


@pytest.mark.parametrize(("outcome", "line"), OUTCOMES.items())
def test_every_outcome_has_its_line(outcome: str, line: str) -> None:
    """Each way a case can end is said in the message and in the incident's note."""
    case = replace(rolled_back(), outcome=outcome).with_step("verify", StepRecord("done", result={"parts": PARTS}))
    if outcome == "gave-up":
        case = case.with_step("revert", StepRecord("failed", error="HTTP 403"))
    assert messages.announcement(case, GROUP).splitlines()[-1].startswith(line)
    assert line.lstrip("✅❌ ") in messages.closing_note(case)
    assert case.id in messages.closing_note(case)


def test_says_how_long_a_way_back_was_given() -> None:
    """A rollback with a migration has twice the time, and the message names the time that it really had."""
    plan = StepRecord("done", result={"carried": True, "from": "2", "to": "1"})
    case = replace(rolled_back().with_step("plan", plan), outcome="not-verified")
    assert "NOT verified within 1200 s" in messages.announcement(case, GROUP)


def test_an_escalation_says_that_a_person_is_needed() -> None:
    """What can't be rolled back is said as such."""
    text = messages.announcement(replace(case_of("Escalate"), outcome="escalated"), GROUP)
    assert text.startswith("🆘 `checkout` in `us-east-1` is breaching and can't be rolled back: ")
    assert "A person is needed." in text


def test_a_hold_says_that_nothing_is_done() -> None:
    """A hold names the revision that stays."""
    assert "Not rolling back `checkout`" in messages.announcement(case_of("Hold"), GROUP)
    assert messages.announcement(case_of("Hold"), GROUP).splitlines()[0].endswith("Revision 2 stays.")


def test_never_claims_a_rollback_that_was_overtaken() -> None:
    """A revert that found somebody else's change is not announced as a rollback, nor paged as one."""
    case = replace(case_of(), outcome="overtaken").with_step("revert", StepRecord("done"))
    assert "Rolled back" not in messages.announcement(case, GROUP)
    assert "was changed by somebody else" in messages.announcement(case, GROUP)
    assert "to be rolled back" in messages.summary(case)


def test_says_that_it_is_still_trying() -> None:
    """A rollback that fails is announced with its error, and as not done."""
    case = case_of().with_step("revert", StepRecord("waiting", 1, error="HTTP 403"))
    text = messages.announcement(case, GROUP)
    assert "is to be rolled back from revision 2" in text
    assert "The rollback has not succeeded yet: HTTP 403. Still trying." in text
    assert messages.details(case)["not rolled back yet"] == "HTTP 403"


@given(
    said=st.text(max_size=3000) | st.just("<&>" * 2000),
    outcome=st.sampled_from(["", *OUTCOMES]),
    error=st.text(max_size=900) | st.just("&" * 900),
    reverted=st.booleans(),
)
def test_stays_under_slacks_limit(said: str, outcome: str, error: str, reverted: bool) -> None:
    """Whatever the evidence, the errors and the names, the message fits an update's 4,000 characters, escapes whole."""
    parts = [{"name": "check", "holds": False, "said": said}, {"name": "image", "holds": False, "said": error}]
    case = replace(rolled_back(said), outcome=outcome, cluster="c&" * 300, region="<" * 300, deployment="d" * 253)
    case = case.with_step("verify", StepRecord("done", result={"parts": parts}))
    case = case.with_step("page", StepRecord("waiting", error=error))
    facts = {"owner": error, "writer": error, "changes": [said] * 9, "history": [{"revision": 2, "images": said}] * 9}
    case = case.with_step("confirm", StepRecord("done", result={**TARGET, **facts}))
    case = case.with_step("migrate", StepRecord("done", result={"said": said}))
    case = case.with_step("dashboard", StepRecord(result={"link": f"https://grafana/{error}"}))
    if not reverted:
        case = case.with_step("revert", StepRecord("failed", error=error))
    for text in (messages.announcement(case, GROUP), messages.alarm(case, GROUP), messages.turned(case, GROUP)):
        assert len(text) <= 4000
        assert text.count("<") == text.count("<!subteam^S0123ABCD>") + text.count("<https://grafana/")
        assert text.count("&") == sum(text.count(escape) for escape in ("&amp;", "&lt;", "&gt;"))
    assert len(messages.summary(case)) <= 1024
    assert len(messages.opening_note(case)) <= 3000
    assert "\n" not in messages.opening_note(case)


def test_details_hold_the_evidence() -> None:
    """The incident shows what was decided, on what, and between which images."""
    case = rolled_back().with_step("confirm", StepRecord("done", result={**TARGET, "badImage": "shop:2"}))
    shown = messages.details(case)
    assert shown["policy"] == "error-rate/errors"
    assert (shown["bad image"], shown["image"], shown["rolled back to"]) == ("shop:2", "shop:1", "1")
    assert shown["opened"] == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize("action", get_args(CaseAction))
@pytest.mark.parametrize("outcome", ["", "escalated", "migration-failed", *OUTCOMES])
def test_everything_says_where(action: CaseAction, outcome: str) -> None:
    """Cluster and region are in whatever people read, so that two clusters' messages are never taken for each other."""
    case = replace(rolled_back(), action=action, outcome=outcome, cluster="prod-7", region="eu-north-1")
    bare = replace(case_of(action), outcome=outcome, cluster="prod-7", region="eu-north-1")
    for one in (case, bare):
        read = [of(one, GROUP) for of in (messages.announcement, messages.alarm, messages.turned)]
        read += [messages.summary(one), messages.opening_note(one), messages.closing_note(one)]
        for text in read:
            assert "prod-7" in text, text
            assert "eu-north-1" in text, text


def found(case: Case, **facts: object) -> Case:
    """The case with what confirming has found out."""
    return case.with_step("confirm", StepRecord("done", 1, result={**TARGET, **facts}))


def test_says_what_the_release_changed() -> None:
    """Owner, changes and the newest revisions are in the message itself, as is the dashboard."""
    history = [{"revision": n, "images": f"shop:{n}"} for n in (2, 1)]
    case = found(rolled_back(), owner="Argo CD (shop)", changes=["image: shop:1 → shop:2"], history=history)
    case = case.with_step("dashboard", StepRecord("waiting", 1, result={"link": "https://g/d/1?from=1&to=now"}))
    lines = messages.announcement(case, GROUP).splitlines()[2:]
    assert lines == [
        "Managed by Argo CD (shop): change it there, too, or it may put revision 2 back.",
        "Changed by revision 2: image: shop:1 → shop:2.",
        "Newest revisions: 2 shop:2; 1 shop:1.",
        "<https://g/d/1?from=1&amp;to=now|Dashboard>",
        "Verifying.",
    ]


def test_a_revision_that_was_put_back_names_who_did_it() -> None:
    """Put back by another controller, the message says by which, and names the rollback's incident."""
    case = replace(found(case_of("Escalate"), writer="Argo CD (shop)"), reason="put-back", incident="prod/eu/r1")
    case = replace(case, said="revision 2 was put back as revision 4")
    text = messages.announcement(case, GROUP)
    assert text.startswith("🆘 `checkout` in `us-east-1`: revision 2 was put back as revision 4. A person is needed.")
    assert "Put back by Argo CD (shop). canary-watch doesn't fight it." in text
    assert "PagerDuty incident `prod/eu/r1`." in text


def test_tags_whoever_is_on_call() -> None:
    """Those who were found to be on call are tagged instead of the contact, three at the most."""
    case = rolled_back().with_step("oncall", StepRecord("done", 1, result={"sre-oncall": ["U1", "U2", "W3", "U4"]}))
    assert messages.tags(case, GROUP) == "<@U1> <@U2> <@W3>"
    nobody = case.with_step("oncall", StepRecord("done", 1, result={"sre-oncall": []}))
    assert messages.tags(nobody, GROUP) == "<!subteam^S0123ABCD>"


def test_tags_who_has_to_decide() -> None:
    """An escalation asks the incident commander, a migration's hold and its failed way back the database team."""
    contacts = {**GROUP, "incident-commander": "U9", "database-team": "S8", "platform-lead": "U7"}
    assert messages.tags(case_of("Escalate"), contacts) == "<!subteam^S0123ABCD> <@U9>"
    held = replace(case_of("Hold"), reason="irreversible-migration")
    assert messages.tags(held, contacts) == "<!subteam^S0123ABCD> <!subteam^S8>"
    assert messages.tags(replace(held, reason="paused"), contacts) == "<!subteam^S0123ABCD>"
    failed = replace(rolled_back(), outcome="migration-failed")
    assert messages.tags(failed, contacts) == "<!subteam^S0123ABCD> <!subteam^S8>"
    assert messages.alarm(failed, contacts).startswith("<!subteam^S0123ABCD> <!subteam^S8> <@U7> <@U9> `checkout`")


def test_an_order_that_came_too_late_breaches_nothing() -> None:
    """A rollback by hand that can't be made isn't said to breach: nobody has judged that."""
    case = replace(case_of("Escalate", "the order could not be carried out"), reason=BY_HAND)
    assert messages.headline(case).startswith("🆘 `checkout` in `us-east-1` can't be rolled back: the order")


def test_says_whose_incident_it_is() -> None:
    """Noted on an alert's incident, the message links that, and names it where it has no address that fits."""
    page = {"paged": "RollBack", "linked": "Q1", "alert": "svc-error-rate", "url": "https://pd/Q1"}
    case = rolled_back().with_step("page", StepRecord("done", 1, result=page))
    assert "<https://pd/Q1|PagerDuty incident> (already open for `svc-error-rate`)." in messages.announcement(case, {})
    case = case.with_step("page", StepRecord("done", 1, result={**page, "url": "https://pd/" + "Q" * 500}))
    assert "PagerDuty incident of `svc-error-rate`, which was open." in messages.announcement(case, {})


def test_scaled_to_zero_says_so() -> None:
    """Without an earlier revision nothing was rolled back, and the message doesn't claim it."""
    case = found(rolled_back(), scaleToZero=True, targetRevision=0)
    assert messages.headline(case).startswith("🚨 Scaled `checkout` in `us-east-1` to zero: revision 2 has no earlier")
    assert "scaled to zero" in messages.summary(case)
