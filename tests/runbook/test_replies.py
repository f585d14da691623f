"""What a case's thread should hold: pure, from the case alone; short enough for Slack, free of markup."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runbook.parts import NOW, TARGET, case_of, decision
from watcher.runbook.case import ALARMING, Case, StepRecord
from watcher.runbook.progress import converted
from watcher.runbook.replies import Reply, replies
from watcher.systems.slack.client import TEXT_LIMIT

GROUP = {"sre-oncall": "S0123ABCD", "platform-lead": "U0789IJKL"}
HISTORY = [
    {"revision": 2, "images": "shop:2", "created": "2027-01-15T07:58:00Z", "verdict": "", "changeCause": "release 2"},
    {"revision": 1, "images": "shop:1", "created": "2027-01-14T08:00:00Z", "verdict": "proven", "changeCause": ""},
]
FOUND = {**TARGET, "history": HISTORY, "changes": ["image of `shop`: shop:1 → shop:2"], "owner": "Argo CD (shop)"}


def done(case: Case, step: str, at: float, **result: object) -> Case:
    """The case with a step done at a time."""
    return case.with_step(step, StepRecord("done", 1, finished=at, result=result))


def whole() -> Case:
    """A rollback that has come through, all steps told."""
    case = done(case_of(), "confirm", NOW + 1, **FOUND)
    case = done(case, "revert", NOW + 2, **{"from": 2, "to": 1, "newRevision": 3})
    case = done(case, "page", NOW + 3, paged="RollBack", dedupKey=case.id, url="https://pd.example/Q1?a&b")
    parts = [{"name": "rollout", "holds": True, "said": "complete"}, {"name": "check", "holds": False, "said": "4 %"}]
    case = done(case, "verify", NOW + 60, parts=parts)
    case = done(case, "postmortem", NOW + 90, key="OPS-7", url="https://jira.example/OPS-7", said="it is OPS-7")
    return done(case, "report", NOW + 62, said="incident resolved")


def texts(case: Case) -> dict[str, str]:
    """The replies' texts, by the step."""
    return {reply.key.removeprefix(f"{case.id}/").split("/")[0]: reply.text for reply in replies(case, GROUP)}


def test_each_step_that_is_over_has_one_in_the_order_of_time() -> None:
    """What has come to be true is told in that order, one reply a step, each with a key of its own."""
    keys = [reply.key.removeprefix(f"{whole().id}/") for reply in replies(whole(), GROUP)]
    assert [key.split("/")[0] for key in keys] == ["confirm", "revert", "page", "verify", "report", "postmortem"]
    assert len(set(keys)) == len(keys)
    assert not any(reply.broadcast for reply in replies(whole(), GROUP))


def test_the_keys_hold_the_case() -> None:
    """Two clusters' cases of the same Deployment share no key, even in the same Slack channel."""
    mine = replace(whole(), outcome="not-verified", turn=1)
    theirs = replace(mine, id=mine.id.replace("us-east-1", "eu-west-1"))
    assert {r.key for r in replies(mine, GROUP)}.isdisjoint(r.key for r in replies(theirs, GROUP))


def test_every_reply_says_where() -> None:
    """Cluster and region are in each of them, the broadcast ones too."""
    for action in ("RollBack", "Hold", "Escalate"):
        for outcome in ALARMING:
            case = replace(whole(), action=action, outcome=outcome, turn=1, cluster="prod-7", region="eu-north-1")
            for reply in replies(case, GROUP):
                assert "prod-7" in reply.text, reply
                assert "eu-north-1" in reply.text, reply


def test_what_confirming_found_is_told() -> None:
    """The rollout history, what the release changed and who else manages the Deployment are in the thread."""
    lines = texts(whole())["confirm"].splitlines()
    assert lines[0] == "*confirm* done, 2027-01-15T08:00:01Z, prod (us-east-1)"
    assert lines[1:] == [
        "revision 2 is the one that was judged: errors",
        "managed by Argo CD (shop)",
        "• changed: image of `shop`: shop:1 → shop:2",
        "• 2 shop:2 (2027-01-15T07:58:00Z, release 2)",
        "• 1 shop:1 (2027-01-14T08:00:00Z, proven)",
    ]


def test_each_part_of_the_verification_has_its_line() -> None:
    """The runbook's parts stand one below the other, with what holds and what doesn't."""
    assert texts(whole())["verify"].splitlines()[1:] == ["✔ complete", "✘ 4 %"]


def test_links_where_there_are_any() -> None:
    """The incident and the ticket are linked, the ticket by its key."""
    assert "<https://pd.example/Q1?a&amp;b|https://pd.example/Q1?a&amp;b>" in texts(whole())["page"]
    assert "<https://jira.example/OPS-7|OPS-7>" in texts(whole())["postmortem"]


def test_says_who_was_paged() -> None:
    """A page, a note on an alert's incident, the database team: the thread says which it was."""
    assert "the on-call was paged" in texts(whole())["page"]
    linked = done(whole(), "page", NOW, paged="RollBack", linked="Q2", alert="svc-error-rate")
    assert "noted on the incident of svc-error-rate" in texts(linked)["page"]
    assert "the database team was paged" in texts(done(whole(), "database-team", NOW))["database-team"]


def test_tags_the_platform_lead_at_the_postmortem() -> None:
    """Whoever leads the platform is told of a postmortem, and of nothing else."""
    found = {reply.key: reply.text for reply in replies(whole(), {"platform-lead": "U0789IJKL"})}
    assert [key.split("/")[-3] for key, text in found.items() if "<@U0789IJKL>" in text] == ["postmortem"]


def test_a_step_that_was_given_up_says_its_last_failure() -> None:
    """What failed for 24 hours is told with why; what was left out isn't told at all."""
    case = whole().with_step("ticket", StepRecord("failed", 9, error="Jira: HTTP 500", finished=NOW + 9))
    case = case.with_step("impact", StepRecord("skipped", 1, finished=NOW + 9))
    assert "last failure: Jira: HTTP 500" in texts(case)["ticket"]
    assert "impact" not in texts(case)


def test_what_is_tried_still_is_not_told() -> None:
    """A step has no reply before it is over, however often it has failed."""
    case = whole().with_step("verify", StepRecord("waiting", 3, error="HTTP 500"))
    assert "verify" not in texts(case)


def test_a_step_that_is_done_anew_is_told_anew() -> None:
    """After a turn what is confirmed again has another key, so that it isn't taken for the former one's reply."""
    hold = done(done(case_of("Hold"), "confirm", NOW, **FOUND), "announce", NOW, place={}, turn=0)
    turned = converted(hold, decision())
    again = done(turned, "confirm", NOW + 600, **FOUND)
    assert not {r.key for r in replies(turned, GROUP) if "/confirm/" in r.key}
    assert {r.key for r in replies(hold, GROUP)}.isdisjoint(r.key for r in replies(again, GROUP))


def test_only_a_turn_that_the_message_did_not_begin_with_is_told() -> None:
    """What the message said when it was posted isn't broadcast once more."""
    posted = done(replace(whole(), turn=2), "announce", NOW, place={}, turn=2)
    assert not any(reply.broadcast for reply in replies(posted, GROUP))
    [told] = [reply for reply in replies(replace(posted, turn=3), GROUP) if reply.broadcast]
    assert told.key.endswith("/turn-3")


ANY = st.text(max_size=2000) | st.just("<!channel>&" * 500)


@settings(deadline=None)  # a loaded machine is no fault
@given(words=ANY, count=st.integers(0, 30), outcome=st.sampled_from(["", "verified", *ALARMING]))
def test_fits_whatever_is_in_it(words: str, count: int, outcome: str) -> None:
    """No text and no number of lines makes a reply longer than Slack takes; its markup is shown, not obeyed."""
    history = [{"revision": words, "images": words, "changeCause": words}] * count
    case = done(case_of(), "confirm", NOW, history=history, changes=[words] * count, owner=words)
    case = done(case, "verify", NOW, parts=[{"holds": False, "said": words}] * count)
    case = done(case, "report", NOW, said=words, url=f"https://{words}", key=words)
    case = case.with_step("ticket", StepRecord("failed", error=words, finished=NOW))
    case = replace(case, said=words, outcome=outcome, turn=1, cluster="c&" * 300, region="<" * 300)
    case = replace(case, deployment="d" * 253)
    for reply in replies(case, GROUP):
        check(reply)


def check(reply: Reply) -> None:
    """It fits, and no markup but ours is in it."""
    assert len(reply.text) < TEXT_LIMIT
    ours = reply.text.count("<!subteam^S0123ABCD>") + reply.text.count("<@U0789IJKL>") + reply.text.count("<https://")
    assert reply.text.count("<") == ours
    assert reply.text.count("&") == sum(reply.text.count(escape) for escape in ("&amp;", "&lt;", "&gt;"))


def test_says_how_much_was_left_out() -> None:
    """Where there is no room for all that changed, the reply says that there is more."""
    case = done(case_of(), "confirm", NOW, changes=[f"env {at}: {'x' * 400}" for at in range(30)])
    assert texts(case)["confirm"].splitlines()[-1].endswith(" more lines")
