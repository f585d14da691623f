"""Verify against an API server with a node, and the recheck: each part that fails is named, and nothing is claimed unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.runbook.conftest import OWN, Shop
from tests.runbook.parts import NOW, POLICY, TARGET, case_of, fails, until
from watcher.judgement.model import Answer, Grid, Series
from watcher.policy.model import Check, Policy, Ratio, SmokeJob, SmokeProbe, Threshold, Value
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.confirm import Confirm
from watcher.runbook.recheck import CheckAgain
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome
from watcher.runbook.verify import Verify, readyz_target, rollout_status
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, paths
from watcher.systems.probe import probe

Json = dict[str, Any]


class Ready(BaseHTTPRequestHandler):
    """A shop's own HTTP server: /readyz answers what `server.status` says."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(self.server.status if self.path == "/readyz" else 404)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pods() -> Iterator[ThreadingHTTPServer]:
    """The server that every pod of the tests is: they all have its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def switches() -> Switches:
    """Which images' pods are ready."""
    return Switches()


@pytest.fixture
def back(shop: Shop, pods: ThreadingHTTPServer, switches: Switches, cluster: Connection) -> Iterator[Case]:
    """A case that was rolled back, with its pods on a node."""
    port = {"spec": {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:3", "ports": None}]}}}}
    container = port["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "http", "containerPort": pods.server_port}]  # type: ignore[assignment]
    shop.connection.merge_patch(shop.path, port)
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    shop.ship("shop:4")
    with Node(Client(cluster.server, "t"), switches.run, shop.namespace, iter(["127.0.0.1"] * 99)):
        case = shop.case()
        case = case.with_step("confirm", StepRecord("done", result=Confirm(shop.line, OWN).carry_out(case, NOW).result))
        outcome = Revert(shop.line).carry_out(case, NOW)
        yield case.with_step("revert", StepRecord("done", result=outcome.result, finished=NOW))


def good(case: Case, now: float) -> tuple[bool, str]:
    """The check is back under its threshold."""
    return True, "errors 0.00%"


def look(shop: Shop, case: Case, check: Callable[[Case, float], tuple[bool, str]] = good, now: float = NOW) -> Outcome:
    """Verify once."""
    return Verify(shop.line, check, probe).carry_out(case, now)


def failing(outcome: Outcome) -> list[str]:
    """The parts that don't hold."""
    return [part["name"] for part in outcome.result["parts"] if not part["holds"]]


def rolled_out(shop: Shop) -> bool:
    """Whether the rollback's pods all serve."""
    return rollout_status(shop.deployment())[0]


def test_verified_when_all_four_hold(shop: Shop, back: Case) -> None:
    """Rollout, image, /readyz on each pod, and the check: with all of them seen, the case is verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    outcome = look(shop, back)
    assert (outcome.state, outcome.case_outcome, failing(outcome)) == ("done", "verified", [])
    said = [part["said"] for part in outcome.result["parts"]]
    assert said == [
        "rollout complete, 2 of 2 pods available",
        "image shop:3 on 2 pods",
        "/readyz answers 200 on 2 of 2 pods",
        "errors 0.00%",
    ]


def test_a_rollout_under_way_is_named(shop: Shop, back: Case, switches: Switches) -> None:
    """While pods are not ready yet, verify comes back later and says which part is missing."""
    switches.set_ready("shop:3", False)
    until(lambda: shop.settled() and not rolled_out(shop), "the rollback waits")
    outcome = look(shop, back)
    assert (outcome.state, outcome.case_outcome) == ("later", "")
    assert "rollout" in failing(outcome)


def test_a_failing_readyz_is_named(shop: Shop, back: Case, pods: ThreadingHTTPServer) -> None:
    """Pods that are ready for Kubernetes and answer 503 at /readyz are not verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    pods.status = 503  # type: ignore[attr-defined]
    outcome = look(shop, back)
    assert failing(outcome) == ["readyz"]
    assert outcome.said == "/readyz answers 200 on 0 of 2 pods"


def test_a_check_still_over_is_named(shop: Shop, back: Case) -> None:
    """The breached check has to be back under its threshold."""
    until(lambda: rolled_out(shop), "the rollback is out")
    outcome = look(shop, back, lambda case, now: (False, "errors 3.00%, above 1.00%"))
    assert (outcome.state, failing(outcome), outcome.said) == ("later", ["check"], "errors 3.00%, above 1.00%")


def test_a_part_that_cannot_be_seen_does_not_hold(shop: Shop, back: Case) -> None:
    """A fault while looking is no proof of health: the part is named with the fault."""
    until(lambda: rolled_out(shop), "the rollback is out")

    def blind(case: Case, now: float) -> tuple[bool, str]:
        raise Fault("Prometheus", "did not answer")

    outcome = look(shop, back, blind)
    assert (failing(outcome), outcome.said) == (["check"], "check can't be checked: Prometheus: did not answer")


def test_not_verified_in_time(shop: Shop, back: Case) -> None:
    """At the deadline, counted from the revert, the case ends as not verified and says what failed."""
    until(lambda: rolled_out(shop), "the rollback is out")
    bad: Callable[[Case, float], tuple[bool, str]] = lambda case, now: (False, "errors 3.00%")  # noqa: E731
    assert look(shop, back, bad, NOW + 599).state == "later"
    outcome = look(shop, back, bad, NOW + 600)
    assert (outcome.case_outcome, outcome.said) == ("not-verified", "not verified within 600 s: errors 3.00%")


def test_a_later_change_overtakes(shop: Shop, back: Case) -> None:
    """A new release before the rollback could be verified ends the case, though it keeps our annotation."""
    shop.ship("shop:5")
    outcome = look(shop, back)
    assert "canary-watch.io/rolled-back" in shop.deployment()["metadata"]["annotations"]
    assert (outcome.case_outcome, outcome.result) == ("overtaken", {"verified": False})


def test_a_deleted_deployment_overtakes(shop: Shop, back: Case) -> None:
    """A Deployment that was deleted after the rollback is not looked for all day."""
    shop.connection.delete(shop.path)
    until(lambda: not shop.connection.get(paths.deployments(shop.namespace))["items"], "deleted")
    assert look(shop, back).case_outcome == "overtaken"


def test_an_evicted_pod_is_not_asked(shop: Shop, back: Case) -> None:
    """A pod that has failed for good stays listed, and does not keep a sound rollback from being verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    listed = shop.connection.get(paths.pods(shop.namespace))["items"]
    ours = next(p for p in listed if p["metadata"]["ownerReferences"][0]["uid"] == back.result("confirm", "targetUid"))
    evicted = {
        "metadata": {
            "name": "evicted",
            "labels": {"app": "checkout"},
            "ownerReferences": ours["metadata"]["ownerReferences"],
        },
        "spec": {"containers": [{"name": "shop", "image": "shop:3"}], "nodeName": "gone"},
    }
    shop.connection.create(paths.pods(shop.namespace), evicted)
    path = paths.pods(shop.namespace, "evicted") + "/status"
    shop.connection.merge_patch(path, {"status": {"phase": "Failed", "reason": "Evicted"}})
    until(lambda: rolled_out(shop), "the rollback is out again")
    assert look(shop, back).case_outcome == "verified"


def test_scaled_to_zero_is_verified(shop: Shop, back: Case) -> None:
    """With no pods wanted there is none to ask."""
    shop.connection.merge_patch(shop.path, {"spec": {"replicas": 0}})
    until(lambda: shop.settled() and rolled_out(shop), "scaled")
    assert look(shop, back).case_outcome == "verified"


def container(probe_at: Json | None = None, ports: list[Json] | None = None) -> Json:
    """A container with an HTTP readiness probe and ports."""
    made: Json = {"name": "c", "image": "i", "ports": ports or []}
    return {**made, "readinessProbe": {"httpGet": probe_at}} if probe_at else made


NAMED = [{"name": "admin", "containerPort": 9090}, {"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("containers", "target"),
    [
        ([container({"port": 8081, "path": "/healthz"}, NAMED)], ("http", 8081, "/healthz")),
        ([container({"port": "http"}, NAMED)], ("http", 8080, "/readyz")),
        ([container({"port": 8443, "scheme": "HTTPS"}, NAMED)], ("https", 8443, "/readyz")),
        ([container(None, NAMED)], ("http", 9090, "/readyz")),
        ([container({"port": "unknown"}, NAMED)], ("http", 9090, "/readyz")),
        ([container(), container({"port": 8081}, [])], ("http", 8081, "/readyz")),
        ([{"name": "c", "readinessProbe": {"exec": {}}}, container(None, NAMED)], ("http", 9090, "/readyz")),
        ([container()], None),
    ],
)
def test_where_readyz_is_asked(containers: list[Json], target: tuple[str, int, str] | None) -> None:
    """At the readinessProbe's port and path, by number or name, with its scheme; else at the first container port."""
    assert readyz_target({"spec": {"containers": containers}}) == target


def status(**counts: Any) -> Json:
    """A Deployment of 3 replicas with this status."""
    return {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": 2, **counts}}


DEADLINE = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        (status(observedGeneration=1, updatedReplicas=3), "rollout: not observed by the Deployment controller yet"),
        (status(conditions=DEADLINE, updatedReplicas=3), "rollout: past its progress deadline"),
        (status(updatedReplicas=1, replicas=3), "rollout: 1 of 3 pods updated"),
        (status(updatedReplicas=3, replicas=5), "rollout: 2 old pods still to go"),
        (status(updatedReplicas=3, replicas=3, availableReplicas=1), "rollout: 1 of 3 pods available"),
    ],
)
def test_rollout_status_in_kubectls_order(deployment: Json, said: str) -> None:
    """The rollout's status is what `kubectl rollout status` would say, and never complete before it is."""
    assert rollout_status(deployment) == (False, said)


class Figures:
    """A Prometheus that answers each query with the figures given for it, at the instant asked."""

    def __init__(self, **figures: float | None) -> None:
        self.figures, self.asked = figures, list[str]()

    def range(self, query: str, grid: Grid) -> Answer:
        """Answer."""
        self.asked.append(query)
        value = self.figures.get(query.split("{")[0])
        labels = {"namespace": "shop", "deployment": "checkout", "pod": "checkout-1-abcde"}
        return Answer(query, grid, () if value is None else (Series(labels, ((grid.end, value),)),))


RATIO = Check("errors", Ratio('bad{pod=~"$pod"}', "total{}", per_pod=True, least_total=100), Threshold(0.5, "50%", "ratio"))
VALUE = Check("errors", Value("value{}"), Threshold(9.0, "9", "number"))


def recheck(check: Check, figures: Figures, ask: Callable[[str, float], int] = lambda url, timeout: 200) -> tuple[bool, str]:
    """Ask the check again of a case that breached 1 %, two minutes after the revert."""
    case = case_of().with_step("confirm", StepRecord("done", result=TARGET))
    case = case.with_step("revert", StepRecord("done", result={"to": 1}, finished=NOW - 120))
    again = CheckAgain(figures, ask, lambda: (replace(POLICY, checks=(check,)),))
    return again(case, NOW)


def test_recheck_of_a_ratio() -> None:
    """The target's own pods are asked, against the threshold that was breached, however few their requests."""
    figures = Figures(bad=0.0, total=8.0)
    assert recheck(RATIO, figures)[0]
    assert figures.asked[0] == 'bad{pod=~"checkout-1-[^-]+"}'
    assert recheck(RATIO, Figures(bad=1.0, total=8.0)) == (False, recheck(RATIO, Figures(bad=1.0, total=8.0))[1])
    assert not recheck(RATIO, Figures(bad=1.0, total=8.0))[0], "0.125 is over the 1 % of the case, not over today's 50 %"


@pytest.mark.parametrize(("value", "holds"), [(0.001, True), (0.02, False), (None, False), (float("nan"), False)])
def test_recheck_of_a_value(value: float | None, holds: bool) -> None:
    """Under the threshold it holds; over it, without data, or with NaN it does not."""
    assert recheck(VALUE, Figures(value=value))[0] is holds


def test_recheck_of_a_silent_service_does_not_hold() -> None:
    """No requests since the rollback prove nothing."""
    assert not recheck(RATIO, Figures(bad=0.0, total=0.0))[0]


def test_recheck_of_a_probe() -> None:
    """A probe is made again, at the address of the Deployment; an answer of another kind, or none, does not hold."""
    asked: list[str] = []

    def answers(code: int) -> Callable[[str, float], int]:
        def ask(url: str, timeout: float) -> int:
            asked.append(url)
            return code

        return ask

    check = Check("errors", SmokeProbe("http://$deployment.$namespace/up", 3, 200, 1.0))
    assert recheck(check, Figures(), answers(200)) == (True, "http://checkout.shop/up answers 200")
    assert recheck(check, Figures(), answers(500)) == (False, "http://checkout.shop/up answers 500")

    def silent(url: str, timeout: float) -> int:
        fails("no answer within 1 s")()
        return 0

    assert recheck(check, Figures(), silent) == (False, "http://checkout.shop/up: no answer within 1 s")
    assert asked[0] == "http://checkout.shop/up"


def test_recheck_of_a_job_is_not_repeated() -> None:
    """A smoke test's Job judged the revision that is gone; that is said, and does not stand in the way."""
    holds, said = recheck(Check("errors", SmokeJob()), Figures())
    assert holds
    assert "not run again" in said


def test_recheck_without_its_policy_does_not_hold() -> None:
    """A check that was taken out of the policies meanwhile can't be seen to be well."""
    none: tuple[Policy, ...] = ()
    holds, said = CheckAgain(Figures(), lambda url, timeout: 200, lambda: none)(case_of(), NOW)
    assert (holds, said) == (False, "check error-rate/errors is no longer in the policies")
