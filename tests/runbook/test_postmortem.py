"""What is written after a rollback: all that is known, in order, blameless; and never an error for what is missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runbook.parts import NOW, TARGET, case_of
from tests.runbook.test_case import cases, records, texts, values
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.document import Block, Bullets, Code, Heading, Paragraph, Table, adf, fitted, markdown
from watcher.runbook.postmortem import FOR_PEOPLE, Facts, postmortem, rollback_comment, title
from watcher.sandbox.adf import problems, refusal

CONFIRMED = {
    **TARGET,
    "badImage": "shop:2",
    "changes": ["image of `shop`: shop:1 -> shop:2", "env DEBUG of `shop` added"],
    "history": [
        {
            "revision": 2,
            "images": "shop:2",
            "changeCause": "release 2",
            "created": "2027-01-15T07:58:00Z",
            "verdict": "",
        },
        {"revision": 1, "images": "shop:1", "changeCause": "", "created": "2027-01-01T00:00:00Z", "verdict": "proven"},
    ],
}
PARTS = [
    {"name": "rollout", "holds": True, "said": "rollout complete"},
    {"name": "check", "holds": True, "said": "errors 0.1 %"},
]
PLAN = {"carried": True, "from": "0002", "to": "0001", "reversible": "reversible", "said": "1 operation"}
FACTS = Facts(
    impact_said="0.4 % of requests (400 of 100,000)",
    incident_url="https://pd.example/Q1",
    dashboard_url="https://grafana.example/d/x?from=1&to=2",
    ticket="OPS-7",
    review=NOW + 90_000,
    roles=("sre-oncall", "platform-lead"),
    postmortem="OPS-9",
    postmortem_url="https://jira.example/browse/OPS-9",
)


def whole_case() -> Case:
    """A rollback that went all the way, with a migration taken back."""
    steps: dict[str, tuple[float, dict[str, Any]]] = {
        "confirm": (1.0, CONFIRMED),
        "plan": (2.0, PLAN),
        "revert": (3.0, {"from": 2, "to": 1, "newRevision": 3}),
        "page": (4.0, {"paged": "RollBack"}),
        "announce": (90.0, {"place": {"channel": "C1", "ts": f"{NOW + 5:.6f}"}}),
        "verify": (60.0, {"verified": True, "parts": PARTS}),
        "migrate": (30.0, {"matches": True, "said": "Job down-1 took the schema back to 0001"}),
    }
    case = replace(case_of(), outcome="verified", closed=NOW + 100)
    for name, (after, result) in steps.items():
        case = case.with_step(name, StepRecord("done", 1, finished=NOW + after, result=result))
    return case


def section(document: tuple[Block, ...], heading: str) -> Block | None:
    """The block that follows a heading."""
    return next((b for a, b in pairwise(document) if isinstance(a, Heading) and a.text == heading), None)


def timeline(case: Case) -> list[tuple[str, str]]:
    """The timeline's rows: time of day and text."""
    table = section(postmortem(case, FACTS), "Timeline (UTC)")
    assert isinstance(table, Table)
    return [(str(at[0])[11:19], str(said[0])) for at, said in table.rows]


def test_timeline_has_what_happened_in_order() -> None:
    """From the rollout's start to the case's end, each with its time; the message at the time it was posted."""
    assert timeline(whole_case()) == [
        ("07:58:00", "Rollout of revision 2 started"),
        ("07:59:00", "Breach began: errors 4.00% (40 of 1000 requests), above 1.00%"),
        ("08:00:00", "Case opened: RollBack (above-threshold)"),
        ("08:00:03", "Rolled back from revision 2 to revision 1"),
        ("08:00:04", "Paged through PagerDuty"),
        ("08:00:05", "Announced in Slack"),
        ("08:00:30", "Migration taken back: Job down-1 took the schema back to 0001"),
        ("08:01:00", "Rollback verified by: rollout, check"),
        ("08:01:40", "Case closed: verified"),
    ]


def test_timeline_claims_nothing_that_did_not_happen() -> None:
    """Nothing is rolled back, paged or verified in the timeline of a case that was overtaken before that."""
    case = replace(case_of(), outcome="overtaken").with_step("revert", StepRecord("done", finished=NOW + 1))
    assert [said.split()[0] for _, said in timeline(case)] == ["Rollout", "Breach", "Case"]
    assert "was not rolled back" in markdown(postmortem(case, FACTS))


def test_bad_ends_are_said() -> None:
    """What could not be verified or taken back stands there as such, with the part that failed."""
    case = whole_case()
    failing = [*PARTS, {"name": "readyz", "holds": False, "said": "/readyz answers 200 on 1 of 2 pods"}]
    case = case.with_step("verify", StepRecord("done", finished=NOW + 60, result={"verified": False, "parts": failing}))
    case = case.with_step("migrate", StepRecord("done", finished=NOW + 70, result={"failed": True, "said": "it broke"}))
    said = [line for _, line in timeline(case)]
    assert "Rollback NOT verified: readyz" in said
    assert "Migration NOT taken back: it broke" in said
    text = markdown(postmortem(replace(case, outcome="not-verified", ending="late"), FACTS))
    assert "- **DOES NOT HOLD:** /readyz answers 200 on 1 of 2 pods" in text
    assert "The rollback could not be verified in time. (late)" in text


def test_a_deployment_scaled_to_zero_is_not_called_rolled_back() -> None:
    """Where there was no earlier revision, the documents say what was done instead."""
    case = whole_case().with_step("confirm", StepRecord("done", result={"targetRevision": 0, "scaleToZero": True}))
    assert "shop/checkout was scaled to zero pods, revision 2 being its only one" in markdown(postmortem(case, FACTS))
    assert "Target revision" not in markdown(rollback_comment(case, FACTS))


TOLD = (
    "# Postmortem (prod, us-east-1): shop/checkout revision 2 rolled back",
    "- **Cluster:** prod, region us-east-1",
    "- **Bad revision:** 2 (`shop:2`)",
    "- **Target revision:** 1 (`shop:1`)",
    "- **Deployment ticket:** OPS-7",
    "- **Blameless review:** 2027-01-16T09:00:00Z",
    "## Impact\n\n0.4 % of requests (400 of 100,000)\n",
    "- Check: policy error-rate, check errors\n- Observed 0.04 beside a threshold of 0.01\n- bad: 40\n- total: 1000",
    "## What changed\n\n- image of \\`shop\\`: shop:1 -\\> shop:2",
    "| 1 | `shop:1` |  | 2027-01-01T00:00:00Z | proven |",
    "- **holds:** rollout complete",
    "- Revision 2 carried a migration to schema version 0002, before it 0001; going back: reversible",
    "[PagerDuty incident](<https://pd.example/Q1>)",
    "[Dashboard at the time](<https://grafana.example/d/x?from=1&amp;to=2>)",
    "## Contacts\n\nThe roles that the runbook names, as the config has them: sre-oncall, platform-lead.",
    "blameless",
)


@pytest.mark.parametrize("line", TOLD)
def test_postmortem_tells_all_that_is_known(line: str) -> None:
    """Summary, impact, evidence, changes, history, verification, migration and links are in it."""
    assert line in markdown(postmortem(whole_case(), FACTS))


def test_people_find_their_sections() -> None:
    """What only people know has a section each, with a line that says what belongs there, and blames nobody."""
    document = postmortem(whole_case(), FACTS)
    for heading, said in FOR_PEOPLE.items():
        assert section(document, heading) == Paragraph((said,))
    assert list(FOR_PEOPLE) == [
        "Root cause",
        "What went well",
        "What went badly",
        "Where we were lucky",
        "Action items",
    ]


def test_the_comment_is_short_and_complete() -> None:
    """The deployment ticket learns what was done, why, with what impact, and where to read on."""
    case = whole_case()
    text = markdown(rollback_comment(case, FACTS))
    assert text.startswith(
        "**shop/checkout was rolled back from revision 2 to revision 1 in us-east-1.** The rollback is verified.\n"
    )
    for line in (
        "**Reason:** errors 4.00%",
        "**Impact:** 0.4 %",
        "(<https://pd.example/Q1>)",
        "**Postmortem:** [OPS-9](<https://jira.example/browse/OPS-9>)",
        f"**Case:** `{case.id}`",
    ):
        assert line in text
    assert "Root cause" not in text


@pytest.mark.parametrize("write", [postmortem, rollback_comment])
def test_both_end_with_case_cluster_and_region(write: Any) -> None:
    """The case is found again by its id, and two clusters never mix, even where all else had to be cut."""
    case = whole_case().with_step("confirm", StepRecord("done", result={**CONFIRMED, "changes": ["x" * 3000] * 3000}))
    end = Paragraph(("Case ", Code(case.id), ", cluster prod, region us-east-1."))
    assert write(case, FACTS)[-1] == end
    cut = fitted(write(case, FACTS), 32_767)
    assert cut[-1] == end
    assert refusal(adf(cut)) == ""
    if write is postmortem:
        assert section(cut, "Root cause") is not None


def test_an_ordinary_postmortem_fits_into_jira() -> None:
    """With a history of ten revisions and thirty changes, nothing has to be cut."""
    long = {**CONFIRMED, "changes": ["x" * 100] * 30, "history": CONFIRMED["history"] * 5}  # type: ignore[operator]
    document = postmortem(whole_case().with_step("confirm", StepRecord("done", result=long)), FACTS)
    assert fitted(document, 32_767) == document


def test_what_is_unknown_is_left_out() -> None:
    """A case of an older daemon, and no facts: no empty heading, no `None`, and it says that the impact isn't known."""
    case = replace(case_of(), evidence={}, cluster="", region="")
    for document in (postmortem(case, Facts()), rollback_comment(case, Facts())):
        text = markdown(document)
        assert "None" not in text
        assert "cluster unknown, region unknown" in text
        assert not any(isinstance(b, Bullets) and not b.items for b in document)
    assert "## Impact\n\nNot known." in markdown(postmortem(case, Facts()))
    assert "## Links" not in markdown(postmortem(case, Facts()))


KEYS = (
    "changes",
    "history",
    "parts",
    "verified",
    "carried",
    "from",
    "to",
    "reversible",
    "said",
    "left",
    "place",
    "paged",
)
odd_records = st.builds(replace, records, result=st.dictionaries(st.sampled_from(KEYS), values, max_size=8))
STEPS = ("confirm", "plan", "revert", "page", "announce", "verify", "migrate")
odd_cases = st.builds(
    replace,
    cases,
    steps=st.dictionaries(st.sampled_from(STEPS), odd_records),
    evidence=st.dictionaries(st.sampled_from(("observed", "threshold", "since", "numbers")), values),
    outcome=st.sampled_from(("", "verified", "not-verified", "migration-failed", "odd")),
)
facts = st.builds(
    Facts,
    texts,
    texts,
    texts,
    texts,
    st.none() | st.floats(),
    st.lists(texts, max_size=3).map(tuple),
    texts,
    texts,
)


@given(odd_cases, facts)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_raises(case: Case, known: Facts) -> None:
    """Whatever a case holds that can be read at all, both documents are written, and are valid in both forms."""
    for document in (postmortem(case, known), rollback_comment(case, known)):
        assert problems(adf(document)) == ()
        assert isinstance(document[-1], Paragraph)
        assert Code(case.id) in document[-1].spans
        assert markdown(document)


@given(cases)
def test_title_fits_jira(case: Case) -> None:
    """The title is one line of at most 255 characters, and names cluster and region."""
    long = title(replace(case, cluster="c" * 300, region="r" * 300, deployment="d" * 253, namespace="n" * 63))
    assert len(long) <= 255
    assert "rrr" in long
    assert len(title(case).splitlines()) == 1
    assert title(whole_case()) == "Postmortem (prod, us-east-1): shop/checkout revision 2 rolled back"
