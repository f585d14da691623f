"""Rollouts out of raw Kubernetes objects, as an API server sends them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.judgement.made import START
from watcher.judgement.model import Revision, Rollout
from watcher.judgement.rollouts import (
    REVISION,
    REVISION_HISTORY,
    ROLLED_BACK,
    STARTED,
    VERDICT,
    VERDICT_OF,
    History,
    own_revert,
    parse_time,
    pod_prefix,
    policies_for,
    revision_of,
    rolled_back_note,
    rollout_of,
    start_of,
    target_of,
    trim_deployment,
    trim_job,
    trim_namespace,
    trim_replica_set,
    watch_ends,
    write_time,
)
from watcher.policy.model import Policy

CREATED = "2027-01-15T08:00:00Z"
BIG = "x" * 5000


def deployment(notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Deployment as the API server sends it, with more fields than are read here."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "uid": "uid-1",
            "resourceVersion": "812",
            "generation": 7,
            "labels": {"team": "pay"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": BIG, **(notes or {})},
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"replicas": 2, "template": {"metadata": {}, "spec": {"containers": []}}, **spec},
        "status": {
            "observedGeneration": 7,
            "conditions": [
                {"type": "Available", "status": "True", "lastUpdateTime": "2027-01-15T09:09:09Z"},
                {"type": "Progressing", "status": "True", "lastUpdateTime": "2027-01-15T08:30:00Z"},
            ],
        },
    }


def replica_set(number: str | None, name: str = "checkout-7d9f84", **more: Any) -> dict[str, Any]:
    """A ReplicaSet of it; `notes` adds annotations, `owner` and `created` replace what it has."""
    notes = {} if number is None else {REVISION: number}
    owner = {"kind": "Deployment", "uid": more.get("owner", "uid-1"), "controller": more.get("controller", True)}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"rs-{name}",
            "resourceVersion": "9",
            "creationTimestamp": more.get("created", CREATED),
            "annotations": {**notes, **more.get("notes", {})},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 2, "template": {"spec": {}}},
        "status": {"replicas": more.get("replicas", 2), "readyReplicas": 2},
    }


def judged(*sets: dict[str, Any], seen: float | None = None, of: dict[str, Any] | None = None) -> Rollout:
    """The rollout that the cache would show, out of trimmed objects."""
    history = History([trim_deployment(of or deployment())], [trim_replica_set(one) for one in sets])
    return rollout_of(history.deployments[0], history.of(history.deployments[0]), seen)


def test_the_newest_revision_is_the_rollout() -> None:
    """Revisions are put in order by number, not by age, name or text, and may have gaps."""
    rollout = judged(replica_set("9", "checkout-b"), replica_set("10", "checkout-a"), replica_set("2", "checkout-c"))
    assert rollout.new.number == 10
    assert [r.number for r in rollout.earlier] == [9, 2]
    assert rollout.name == "shop/checkout"
    assert rollout.key == ("uid-1", 10)


@pytest.mark.parametrize("number", [None, "", "v2", "-1", "2.0", "²", "٣", "9" * 5000])
def test_a_replica_set_without_a_revision_number_is_no_revision(number: str | None) -> None:
    """What the controller hasn't numbered, or somebody else has, is left out, and never raises."""
    assert revision_of(replica_set(number)) is None
    assert judged(replica_set(number, "checkout-x"), replica_set("1")).new.number == 1


def test_other_owners_replica_sets_do_not_count() -> None:
    """A ReplicaSet belongs by its controller's UID: not by name, label, or a reference that isn't the controller's."""
    others = [
        replica_set("7", "checkout-other", owner="uid-2"),
        replica_set("8", "checkout-loose", controller=False),
    ]
    orphan = replica_set("9", "checkout-orphan")
    orphan["metadata"]["ownerReferences"] = []
    rollout = judged(replica_set("3"), *others, orphan)
    assert (rollout.new.number, rollout.earlier) == (3, ())


def test_creating_a_deployment_is_a_rollout_without_earlier_revisions() -> None:
    """The first revision is watched, and has nothing to go back to."""
    rollout = judged(replica_set("1"))
    assert rollout.earlier == ()
    assert rollout.control == ()
    assert target_of(rollout) is None


def test_a_deployment_without_replica_sets_has_no_history() -> None:
    """Between a Deployment's creation and its first ReplicaSet there is nothing to watch."""
    history = History([trim_deployment(deployment())], [])
    assert history.of(history.deployments[0]) == []


def test_a_new_replica_set_starts_its_rollout_when_created() -> None:
    """Neither when it was seen nor what a copied annotation says moves the start of a new ReplicaSet."""
    copied = {STARTED: "2@2027-01-15T11:00:00Z"}
    small = trim_replica_set(replica_set("2", notes=copied))
    assert start_of(trim_deployment(deployment()), small, START + 50) == (START, False)


@pytest.mark.parametrize(
    ("recorded", "seen", "start"),
    [
        ("4@2027-01-15T08:10:00Z", START + 50, (START + 600, False)),
        ("3@2027-01-15T08:10:00Z", START + 50, (START + 50, True)),
        ("4@yesterday", START + 50, (START + 50, True)),
        ("4@9999-12-31T23:59:59-14:00", START + 50, (START + 50, True)),
        ("4", START + 50, (START + 50, True)),
        ("@2027-01-15T08:10:00Z", START + 50, (START + 50, True)),
        (None, START + 50, (START + 50, True)),
        (None, None, (START + 1800, True)),
        ("3@2027-01-15T08:10:00Z", None, (START + 1800, True)),
    ],
)
def test_a_reused_replica_set_starts_anew(recorded: str | None, seen: float | None, start: tuple[float, bool]) -> None:
    """What is recorded for this very revision counts, else when it was seen, else the Deployment's last progress."""
    notes = {REVISION_HISTORY: "1", **({STARTED: recorded} if recorded else {})}
    small = trim_replica_set(replica_set("4", notes=notes))
    assert start_of(trim_deployment(deployment()), small, seen) == start


def test_a_reused_replica_set_without_any_other_trace_starts_when_created() -> None:
    """Without a condition to go by, a start that is too early ends the watch too early, and rolls nothing back."""
    bare = trim_deployment({**deployment(), "status": {}})
    small = trim_replica_set(replica_set("4", notes={REVISION_HISTORY: "1"}))
    assert start_of(bare, small, None) == (START, True)


def test_a_verdict_counts_only_with_its_own_uid() -> None:
    """Annotations that `kubectl rollout undo` and the controller copied from another ReplicaSet prove nothing."""
    own = {VERDICT: "condemned", VERDICT_OF: "rs-checkout-7d9f84"}
    assert judged(replica_set("2", notes=own)).new.verdict == "condemned"
    for copied in ({VERDICT: "proven"}, {VERDICT: "proven", VERDICT_OF: "rs-checkout-5c6b7a"}):
        assert judged(replica_set("2", notes=copied)).new.verdict == ""


@pytest.mark.parametrize(
    ("note", "number", "own"),
    [
        ('{"case": "c-1", "uid": "uid-1", "revision": 4, "replicaSet": "rs-1"}', 4, True),
        ('{"case": "c-1", "uid": "uid-1", "revision": 4, "replicaSet": "rs-1"}', 5, False),
        ('{"case": "c-1", "uid": "uid-1", "revision": 4, "replicaSet": "rs-1"}', 3, False),
        ('{"case": "c-1", "uid": "uid-1", "revision": 4, "replicaSet": "rs-2"}', 4, False),
        ('{"case": "c-1", "uid": "uid-1", "revision": 4}', 4, False),
        ('{"case": "c-1", "uid": "uid-2", "revision": 4, "replicaSet": "rs-1"}', 4, False),
        ('{"case": "c-1", "uid": "uid-1", "revision": "4", "replicaSet": "rs-1"}', 4, False),
        ("{}", 4, False),
        ("[4]", 4, False),
        ("4", 4, False),
        ("rolled back", 4, False),
        ("[" * 100_000, 4, False),
    ],
)
def test_only_the_daemons_own_revert_is_not_judged(note: str, number: int, own: bool) -> None:
    """Number and ReplicaSet that the note names are the revert; an old, copied or foreign note hides no rollout."""
    assert own_revert(trim_deployment(deployment({ROLLED_BACK: note})), Revision(number, "c-1", "rs-1")) is own


def test_a_deployment_without_note_was_not_rolled_back() -> None:
    """No annotations at all is no revert either."""
    assert rolled_back_note({"metadata": {}}) == {}


@pytest.mark.parametrize(
    ("verdicts", "target"),
    [
        (["", "", ""], 4),
        (["", "proven", ""], 3),
        (["proven", "proven", ""], 4),
        (["condemned", "", "proven"], 2),
        (["condemned", "", ""], 3),
        (["condemned", "condemned", "condemned"], None),
    ],
)
def test_the_target_is_the_newest_proven_else_the_newest_not_condemned(verdicts: list[str], target: int | None) -> None:
    """Runbook, step 2: never the previous one because it is previous, and never a condemned one."""
    sets = [replica_set("5", "checkout-new")]
    for number, verdict in zip((4, 3, 2), verdicts, strict=True):
        name = f"checkout-{number}"
        sets.append(replica_set(str(number), name, notes={VERDICT: verdict, VERDICT_OF: f"rs-{name}"}))
    found = target_of(judged(*sets))
    assert (found.number if found else None) == target


def test_the_control_is_the_previous_revision_and_whatever_still_has_pods() -> None:
    """A rollout on top of an unfinished one is compared with all that serves beside it."""
    older = [replica_set("3", "c", replicas=0), replica_set("2", "b", replicas=1), replica_set("1", "a", replicas=0)]
    assert [r.number for r in judged(replica_set("4"), *older).control] == [3, 2]


def test_the_trims_keep_what_is_read_and_little_else() -> None:
    """A trimmed object reads as the whole one does, without template, managed fields and long annotations."""
    notes = {"canary-watch.io/ticket": "OPS-1" + BIG, "example.com/slo": "2s"}
    whole = deployment(notes, paused=True)
    small = trim_deployment(whole)
    assert small["metadata"]["annotations"] == notes
    assert small["spec"] == {"paused": True}
    assert [c["type"] for c in small["status"]["conditions"]] == ["Progressing"]
    assert "managedFields" not in small["metadata"]
    assert trim_deployment(small) == small
    rollout = judged(replica_set("1"), of=whole)
    assert rollout.spec_paused
    assert rollout.labels == {"team": "pay"}
    assert rollout.annotations == notes
    marked = replica_set("2", notes={VERDICT: "proven", "kubernetes.io/change-cause": BIG})
    assert len(json.dumps(trim_replica_set(marked))) < 600
    assert trim_replica_set(trim_replica_set(marked))["metadata"]["annotations"] == {REVISION: "2", VERDICT: "proven"}


def test_namespaces_and_jobs_are_trimmed_too() -> None:
    """Of a Namespace our annotations are kept, of a Job its label, its age and how it ended."""
    pause = {"canary-watch.io/pause": "true"}
    space = trim_namespace({"metadata": {"name": "shop", "annotations": {**pause, "other": BIG}}, "status": {}})
    assert space == {"metadata": {"name": "shop", "annotations": pause}}
    failed = [{"type": "Failed", "status": "True"}]
    meta = {"name": "smoke", "namespace": "shop", "labels": {"l": "checkout"}, "creationTimestamp": CREATED}
    job = trim_job({"metadata": meta, "spec": {"template": {}}, "status": {"conditions": failed, "failed": 1}})
    assert job == {"metadata": meta, "status": {"conditions": failed}}


def test_objects_without_optional_parts_are_read() -> None:
    """Kubernetes leaves empty fields out, or sends null: neither raises."""
    bare = {"metadata": {"name": "a", "namespace": "b", "uid": "u", "annotations": None, "labels": None}, "spec": None}
    owner = [{"uid": "u", "controller": True}]
    meta = {"name": "a-1", "uid": "r", "creationTimestamp": CREATED, "ownerReferences": owner}
    rollout = judged({"metadata": {**meta, "annotations": {REVISION: "1"}}, "status": None}, of=bare)
    assert (rollout.spec_paused, rollout.new.replicas) == (False, 0)
    assert trim_replica_set({"metadata": meta})["metadata"]["annotations"] == {}


def test_a_watch_lasts_as_long_as_its_longest_policy() -> None:
    """Policies match by namespace and labels, and the longest of their watches counts."""
    rollout = judged(replica_set("1"))
    mine = Policy("a", "a.yaml", ("shop",), 600.0, (), {"team": "pay"})
    longer = Policy("b", "b.yaml", ("*",), 1800.0, ())
    others = [Policy("c", "c.yaml", ("web",), 9e9, ()), Policy("d", "d.yaml", ("*",), 9e9, (), {"team": "web"})]
    matching = policies_for(rollout, [mine, *others, longer])
    assert matching == (mine, longer)
    assert watch_ends(rollout, matching) == START + 1800
    assert watch_ends(rollout, ()) == START


def test_pods_names_begin_with_their_replica_sets() -> None:
    """A ReplicaSet's name and a dash, cut to 58 characters as Kubernetes cuts it."""
    assert pod_prefix("checkout-7d9f84") == "checkout-7d9f84-"
    assert pod_prefix("c" * 57) == "c" * 57 + "-"
    assert pod_prefix("c" * 58) == "c" * 58


def test_times_are_written_as_kubernetes_writes_them() -> None:
    """What is written is read back to the second."""
    assert write_time(START) == CREATED
    assert parse_time(CREATED) == START
    assert parse_time("2027-01-15T09:00:00.25+01:00") == START + 0.25
