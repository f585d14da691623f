"""Jobs made from a pod template: what they have of it, what they must not have, and that each is made once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.migrating import MIGRATIONS, OLD, PLAN, Bench
from tests.runbook.parts import NOW, Once, case_of, cut, until
from watcher.runbook.case import Case
from watcher.runbook.jobs import (
    LATE,
    failure_of,
    job_for,
    job_name,
    made_before,
    never_began,
    output_of,
    run_once,
    state_of,
    tail,
    whole_output_of,
)
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, paths

Json = dict[str, Any]
TEMPLATE: Json = {
    "metadata": {"labels": {"app": "checkout", "pod-template-hash": "abc"}, "annotations": {"team": "payments"}},
    "spec": {
        "serviceAccountName": "checkout",
        "volumes": [{"name": "conf", "secret": {"secretName": "checkout"}}],
        "initContainers": [{"name": "migrate", "image": "shop:2"}, {"name": "proxy", "image": "p", "command": ["p"]}],
        "restartPolicy": "Always",
        "containers": [
            {
                "name": "shop",
                "image": "shop:2",
                "args": ["serve"],
                "env": [{"name": "DSN", "valueFrom": {"secretKeyRef": {"name": "checkout", "key": "dsn"}}}],
                "envFrom": [{"secretRef": {"name": "more"}}],
                "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
                "workingDir": "/app",
                "securityContext": {"runAsNonRoot": True},
                "ports": [{"containerPort": 80, "hostPort": 80}],
                "restartPolicy": "Always",
                "restartPolicyRules": [],
                **{key: {} for key in ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle")},
            },
            {"name": "sidecar", "image": "s"},
        ],
    },
}


def made(**settings: Any) -> Json:
    """The pod template of a down Job."""
    body = job_for(case_of(), "down", TEMPLATE, replace(MIGRATIONS, **settings), OLD)
    template: Json = body["spec"]["template"]
    return template


def test_it_has_the_release_s_own_code_env_and_secrets() -> None:
    """One container, as the release has it but for the command, with the pod's volumes and service account."""
    spec, [own] = made()["spec"], made()["spec"]["containers"]
    assert own["command"] == ["python", "manage.py", "migrate", "shop", OLD]
    old = TEMPLATE["spec"]["containers"][0]
    kept = ("name", "image", "env", "envFrom", "volumeMounts", "workingDir", "securityContext")
    assert {key: value for key, value in own.items() if key != "command"} == {key: old[key] for key in kept}
    assert (spec["serviceAccountName"], spec["volumes"]) == ("checkout", TEMPLATE["spec"]["volumes"])
    assert spec["restartPolicy"] == "Never"


def test_it_is_run_once_and_not_for_ever() -> None:
    """Kubernetes repeats nothing by itself, and ends it in its time."""
    spec = job_for(case_of(), "down", TEMPLATE, MIGRATIONS, OLD)["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 600)
    assert not {"parallelism", "completions"} & set(spec)


def test_nobody_takes_its_pod_for_the_deployment_s() -> None:
    """None of the template's labels is on it: no Service, selector or budget of the Deployment's covers it."""
    body = job_for(case_of(), "down", TEMPLATE, MIGRATIONS, OLD)
    for labels in (body["metadata"]["labels"], body["spec"]["template"]["metadata"]["labels"]):
        assert labels == {"app.kubernetes.io/managed-by": "canary-watch"}
    assert body["spec"]["template"]["metadata"]["annotations"]["team"] == "payments"


def test_init_containers_are_left_out_unless_named() -> None:
    """One of them may be what migrates forward."""
    assert "initContainers" not in made()["spec"]
    assert made(init_containers=("proxy",))["spec"]["initContainers"] == [TEMPLATE["spec"]["initContainers"][1]]


def test_the_container_is_the_one_named() -> None:
    """The first one, or that of the name; without it there is no Job."""
    assert made(container="sidecar")["spec"]["containers"][0]["image"] == "s"
    with pytest.raises(ValueError, match="no container other"):
        made(container="other")


def test_the_template_stays_as_it_was() -> None:
    """Making a Job changes nothing of what was read."""
    before = repr(TEMPLATE)
    made(init_containers=("proxy",))
    assert repr(TEMPLATE) == before


def test_a_plan_may_be_asked_anew_but_there_is_one_way_down() -> None:
    """Each turn of a case has a plan of its own; the down Job is the same through all of them."""
    case = case_of()
    later = replace(case, turn=3)
    assert job_name(case, "plan") != job_name(later, "plan")
    assert job_name(case, "down") == job_name(later, "down")
    other = replace(case, bad=3)
    assert job_name(other, "down") != job_name(case, "down")
    longest = replace(case, uid="0123456789abcdef-0123456789abcdef-012", bad=10**9, turn=10**4)
    assert max(len(job_name(longest, "plan")), len(job_name(longest, "down"))) <= 57


@pytest.fixture
def bench(shop: Shop) -> Bench:
    """A bench, to make Jobs on."""
    return Bench(shop)


def body(case: Case, **settings: Any) -> Json:
    """A Job that the cluster takes."""
    plain = {"spec": {"containers": [{"name": "shop", "image": "shop:2"}]}}
    return job_for(case, "down", plain, replace(MIGRATIONS, **settings), OLD)


def test_it_is_made_once(bench: Bench) -> None:
    """Tried again, and after an answer that was lost, it is the same Job."""
    case = bench.shop.case()
    bench.line.after = Once("create", "jobs", cut)
    with pytest.raises(Fault):
        run_once(bench.line, case, body(case))
    first = run_once(bench.line, case, body(case))
    assert run_once(bench.line, case, body(case))["metadata"]["uid"] == first["metadata"]["uid"]
    assert [job["metadata"]["uid"] for job in bench.jobs()] == [first["metadata"]["uid"]]


def test_somebody_else_s_job_is_not_ours(bench: Bench) -> None:
    """A Job of the same name without the case's note is not followed, and that is lasting."""
    case = bench.shop.case()
    assert made_before(bench.line, case, job_name(case, "down")) is None
    foreign = body(case)
    foreign["metadata"]["annotations"] = {}
    bench.shop.connection.create(paths.jobs(bench.shop.namespace), foreign)
    with pytest.raises(Fault, match="not this case's") as found:
        run_once(bench.line, case, body(case))
    assert found.value.lasting


def test_its_state_is_what_its_conditions_say() -> None:
    """Complete and Failed are ends; everything else goes on, a condition that isn't True included."""
    ended: Json = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    assert state_of({"status": {"conditions": [ended]}}) == ("failed", "DeadlineExceeded")
    assert state_of({"status": {"conditions": [{**ended, "message": "too long"}]}}) == ("failed", "too long")
    assert state_of({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}) == ("complete", "")
    for other in ({}, {"status": {"conditions": [{**ended, "status": "False"}]}}, {"status": {"active": 1}}):
        assert state_of(other) == ("active", "")


def test_one_that_never_began_is_known_by_its_age() -> None:
    """The deadline counts from the start: a Job that is kept from starting would be waited for without end."""
    job = {"spec": {"activeDeadlineSeconds": 600}}
    assert not never_began(job, NOW, NOW + 600 + LATE)
    assert never_began(job, NOW, NOW + 601 + LATE)
    assert not never_began(job, NOW, NOW - 3600), "a clock that is set back makes nobody hasty"


def test_what_a_job_wrote_is_read(
    bench: Bench, cluster: Connection, switches: Switches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real Job's output comes from its pod, and a failure is said with its end."""
    case = bench.shop.case()
    monkeypatch.setattr(bench.line, "pod_log", cluster.pod_log)
    with Node(Client(cluster.server, "t"), switches.run, bench.shop.namespace):
        job = run_once(bench.line, case, body(case, command=("sh", "-c", "echo back to $version; exit 3")))
        name = job["metadata"]["name"]
        until(lambda: state_of(cluster.get(paths.jobs(bench.shop.namespace, name)))[0] == "failed", "the Job's end")
        assert whole_output_of(bench.line, case, job) == f"back to {OLD}\n"
        said = failure_of(bench.line, case, job, "exit 3")
    assert said == f"Job {bench.shop.namespace}/{name} failed: exit 3; its output ends: back to {OLD}"


def test_an_output_that_may_have_broken_off_is_not_read(bench: Bench) -> None:
    """Two readings that differ, a last line without its end, and nothing at all are no plan."""
    case = bench.shop.case()
    job = run_once(bench.line, case, body(case))
    bench.ends("down")
    parts = iter([PLAN, PLAN[:-20]])
    for log in (lambda: next(parts), lambda: PLAN[:-1], lambda: ""):
        bench.line.log = log
        with pytest.raises(Fault, match="did not come whole"):
            whole_output_of(bench.line, case, job)
    bench.line.log = lambda: PLAN
    assert whole_output_of(bench.line, case, job) == PLAN


def test_an_output_that_is_gone_is_no_obstacle_to_saying_so(bench: Bench) -> None:
    """A failed Job whose log can't be had has failed all the same."""
    case = bench.shop.case()
    job = run_once(bench.line, case, body(case))
    assert output_of(bench.line, case, {**job, "metadata": {"name": "none"}}) == ""
    bench.line.log = cut  # type: ignore[assignment]
    bench.ends("down", "Failed")
    assert failure_of(bench.line, case, job, "why").endswith("failed: why")


def test_only_the_end_is_shown() -> None:
    """A long output is cut at its beginning, on one line."""
    assert tail("a\n  b\n") == "a b"
    assert tail("x" * 400) == "…" + "x" * 300
