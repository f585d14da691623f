"""The case as a value: written, read back, refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runbook.parts import NOW, case_of, decision
from watcher.runbook.case import Case, StepRecord, open_case, read_case

texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
records = st.builds(
    StepRecord,
    state=st.sampled_from(("waiting", "trying", "done", "skipped", "failed")),
    attempts=st.integers(0, 10**6),
    failures=st.integers(0, 10**6),
    first_try=st.none() | numbers,
    next_try=numbers,
    finished=st.none() | numbers,
    error=texts,
    result=st.dictionaries(texts, values, max_size=3),
)
cases = st.builds(
    Case,
    **dict.fromkeys(("id", "cluster", "region", "namespace", "deployment", "uid", "reason", "said", "policy"), texts),
    check=texts,
    action=st.sampled_from(("RollBack", "Hold", "Escalate")),
    bad=st.integers(0),
    bad_replica_set=texts,
    opened=numbers,
    rollout_started=numbers,
    verify_within=numbers,
    evidence=st.dictionaries(texts, values, max_size=3),
    steps=st.dictionaries(texts, records, max_size=3),
    outcome=texts,
    closed=st.none() | numbers,
)


@given(cases)
def test_survives_writing(case: Case) -> None:
    """Whatever a case holds, writing it and reading it back gives the same case."""
    assert read_case(case.write()) == case


def test_infinite_evidence_survives() -> None:
    """A quantile over an endless bucket is +Inf, and a case that rests on it can be read back."""
    case = case_of().with_step("verify", StepRecord(result={"observed": math.inf}))
    assert read_case(case.write()).result("verify", "observed") == math.inf


WRONG: dict[str, dict[str, Any]] = {
    "unknown action": {"action": "Explode"},
    "number as text": {"bad": "two"},
    "time as text": {"opened": "yesterday"},
    "closed as text": {"closed": "yes"},
    "step that is no mapping": {"steps": {"page": 3}},
    "step in an unknown state": {"steps": {"page": {"state": "dancing"}}},
    "result that is a list": {"steps": {"page": {"result": []}}},
    "backoff as text": {"steps": {"page": {"next_try": "soon"}}},
    "steps as a list": {"steps": []},
    "evidence as text": {"evidence": "much"},
    "outcome as a number": {"outcome": 3},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_refuses_what_is_no_case(change: dict[str, Any]) -> None:
    """Content that no case has is refused as ValueError, and never half understood."""
    whole = json.loads(case_of().write())
    with pytest.raises(ValueError, match="not a case"):
        read_case(json.dumps({**whole, **change}))


@pytest.mark.parametrize("text", ["", "{", "null", "3", "[]", "{}", '"case"'])
def test_refuses_other_json(text: str) -> None:
    """What is not even a JSON object with a case's fields is a ValueError too."""
    with pytest.raises(ValueError, match=r"."):
        read_case(text)


def test_missing_field_is_refused() -> None:
    """A case without its Deployment's UID is none."""
    whole = json.loads(case_of().write())
    del whole["uid"]
    with pytest.raises(ValueError, match="uid"):
        read_case(json.dumps(whole))


def test_name_and_id_tell_revisions_apart() -> None:
    """The ConfigMap's name comes from UID and revision alone, and the id fits PagerDuty's 255 characters."""
    case = open_case(decision(), ("c" * 300, "us-east-1"), NOW)
    assert case.name == "case-uid-of-checkout-r2"
    assert len(case.id) <= 255
    assert case.id.endswith("/r2-uid-of-c")


def test_no_case_for_keep_watching() -> None:
    """A decision that asks for nothing opens no case."""
    with pytest.raises(ValueError, match="KeepWatching"):
        open_case(decision("KeepWatching"), ("prod", "us-east-1"), NOW)


def test_overtaken_revert_is_no_rollback() -> None:
    """A revert that is over because somebody else was faster never counts as rolled back."""
    assert not case_of().with_step("revert", StepRecord("done")).rolled_back
    assert case_of().with_step("revert", StepRecord("done", result={"to": 1})).rolled_back


def test_what_another_version_wrote_is_left_out() -> None:
    """Fields that this version doesn't know don't cost it the case: daemons are updated in the middle of cases."""
    raw = json.loads(case_of().write())
    raw["colour"] = "red"
    raw["steps"] = {"page": {"state": "done", "tries": 3}}
    case = read_case(json.dumps(raw))
    assert case.step("page").over
    assert replace(case, steps={}) == case_of()
