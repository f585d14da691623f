"""Step 3 of the runbook: rollout status, the running image, /readyz, and the breached check back to its baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from watcher.judgement.rollouts import rolled_back_note
from watcher.runbook.case import Case
from watcher.runbook.confirm import newest_revision, selector_query
from watcher.runbook.marks import condemn, mark_schema
from watcher.runbook.migrations import carried, patience_of, taken_back
from watcher.runbook.owners import owner_of, said_writer
from watcher.runbook.ports import Cluster, Probe, Recheck, SchemaNow
from watcher.runbook.step import Outcome
from watcher.runbook.templates import images_of, same_template
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound

# /readyz is asked of so many pods at most: enough to tell, and a thousand pods don't hold up the verification.
MOST_PODS = 10
PROBE_TIMEOUT = 3.0  # seconds, for one pod asked at its own address

Scheme = Literal["http", "https"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the verification: whether it holds, and the line that says so."""

    name: str
    holds: bool
    said: str


class Verify:
    """Look, each pass, whether the rollback has come through; say plainly when it hasn't in time."""

    name = "verify"
    lane = "verify"
    write_ahead = False

    def __init__(self, cluster: Cluster, recheck: Recheck, probe: Probe, schema: SchemaNow) -> None:
        self._cluster = cluster
        self._recheck = recheck
        self._probe = probe
        self._schema = schema

    def due(self, case: Case) -> bool:
        """It follows the revert."""
        return case.rolled_back and not case.outcome and not case.step("verify").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Check every part; later while one doesn't hold yet, done when all hold or the time is over."""
        try:
            deployment = self._cluster.get(paths.deployments(case.namespace, case.deployment))
        except NotFound:
            said = "the Deployment was deleted before the rollback could be verified"
            return Outcome("done", {"verified": False}, said, case_outcome="overtaken")
        unmarked = self._mark(case)
        back = self._bad_is_back(case, deployment)
        if back and not observed(deployment):
            return Outcome("later", case.step("verify").result, "waiting for the Deployment controller")
        if back or changed_again(case, deployment):
            return _changed(case, deployment, back=back)
        parts = list(self._parts(case, deployment, now))
        result: dict[str, Any] = {"parts": [{"name": p.name, "holds": p.holds, "said": p.said} for p in parts]}
        failing = "; ".join(part.said for part in parts if not part.holds)
        begun = case.step("revert").finished or now
        late = now >= begun + patience_of(case)
        unmarked = unmarked or ("" if failing else self._mark_schema(case))
        if not failing and (late or not unmarked):
            return Outcome("done", {**result, "verified": True}, "verified", case_outcome="verified")
        if late:
            said = f"not verified within {patience_of(case):.0f} s: {failing}"
            return Outcome("done", {**result, "verified": False}, said, case_outcome="not-verified")
        return Outcome("later", result, failing or unmarked)

    def _bad_is_back(self, case: Case, deployment: dict[str, Any]) -> bool:
        """Whether the template is the bad one again; its revision's number tells only once the controller has seen it.

        One that was put back before the controller saw the rollback keeps its number for good.
        """
        if case.result("confirm", "scaleToZero"):
            return False
        try:
            bad = self._cluster.get(paths.replica_sets(case.namespace, case.bad_replica_set))
        except NotFound:
            return False
        return same_template(deployment["spec"]["template"], bad["spec"]["template"])

    def _mark(self, case: Case) -> str:
        """Condemn the bad revision where the revert couldn't; what is in the way, if anything."""
        if not case.result("revert", "unmarked"):
            return ""
        try:
            condemn(self._cluster, case)
        except Fault as fault:
            return f"revision {case.bad} can't be marked condemned: {fault}"
        return ""

    def _mark_schema(self, case: Case) -> str:
        """Note which schema the target serves with now, for the next release's sake; what is in the way, if anything.

        Its ReplicaSet has a new number, and a rollback isn't watched as a rollout is.
        """
        asked = case.result("plan", "asked")
        if not asked:
            return ""
        version = str(case.result("plan", "from" if case.result("plan", "left") else "to"))
        try:
            mark_schema(self._cluster, case, str(asked), version)
        except Fault as fault:
            return f"the schema version of the revision that is back can't be noted: {fault}"
        return ""

    def _parts(self, case: Case, deployment: dict[str, Any], now: float) -> Iterator[Part]:
        yield _part("rollout", lambda: rollout_status(deployment))
        pods = _Pods(self._cluster, case, deployment)
        yield _part("image", lambda: _image(case, deployment, pods))
        yield _part("readyz", lambda: self._readyz(case, deployment, pods))
        idle = deployment["spec"].get("replicas") == 0
        yield _part("check", lambda: (True, "check: not asked, scaled to 0 pods") if idle else self._recheck(case, now))
        if carried(case):
            yield _part("schema", lambda: self._schema_part(case))

    def _schema_part(self, case: Case) -> tuple[bool, str]:
        """The schema goes with the code that is back: `migrate` saw to it, and nothing has moved it since."""
        record, wanted = case.step("migrate"), case.result("plan", "to")
        if not taken_back(case):
            why = f" ({record.error})" if record.error else ""
            return False, f"schema: not yet back at {wanted}{why}"
        current = self._schema(case)
        if current not in (None, wanted):
            return False, f"schema: it was taken back to {wanted}, and is at {current} again"
        return True, f"schema at {wanted}, as the code that is back expects"

    def _readyz(self, case: Case, deployment: dict[str, Any], pods: _Pods) -> tuple[bool, str]:
        """GET /readyz on each pod, at the readinessProbe's port and path, else at the first container port."""
        if deployment["spec"].get("replicas") == 0:
            return True, "/readyz: the Deployment is scaled to 0 pods"
        target = readyz_target(deployment["spec"]["template"])
        if target is None:
            return True, "/readyz: not asked, the template names no port"
        asked = pods.all()[:MOST_PODS]
        answers = [self._ask_pod(case, pod, target) for pod in asked]
        good = sum(1 for status in answers if status == 200)
        return bool(asked) and good == len(asked), f"{target[2]} answers 200 on {good} of {len(asked)} pods"

    def _ask_pod(self, case: Case, pod: dict[str, Any], target: tuple[Scheme, int, str]) -> int:
        """Ask one pod through the API server's proxy; where that can't reach it, at the pod's own address."""
        scheme, port, path = target
        try:
            return self._cluster.pod_get(case.namespace, pod["metadata"]["name"], port, path, scheme)
        except Fault:
            address = (pod.get("status") or {}).get("podIP")
            if not address:
                raise
            host = f"[{address}]" if ":" in address else address
            return self._probe(f"{scheme}://{host}:{port}/{path.lstrip('/')}", PROBE_TIMEOUT)


def _changed(case: Case, deployment: dict[str, Any], *, back: bool) -> Outcome:
    """End the case: what is there now stands, and is looked at as a rollout of its own.

    Two ends are told as bad ones: a way back of the schema that was begun, and a template that was put back before
    the Deployment controller saw the rollback, so that no new revision tells of it.
    """
    said, outcome = _said_changed(case, deployment, back=back), "overtaken"
    if back and newest_revision(deployment) == case.bad:
        outcome = "put-back"
    if case.result("migrate", "job") or taken_back(case):
        said = f"{said}, and after its migration was taken back: what is there now may not go with the schema"
        outcome = "migration-failed"
    return Outcome("done", {"verified": False, "said": said}, said, case_outcome=outcome)


def _said_changed(case: Case, deployment: dict[str, Any], *, back: bool) -> str:
    """Who did what: another controller that puts the bad template back isn't fought, and is named."""
    if case.result("confirm", "scaleToZero"):
        return "the Deployment was changed or scaled up again, before that could be verified"
    writer = said_writer(deployment, owner_of(deployment))
    if back:
        return f"revision {case.bad}, which was rolled back, was put back by {writer}, before that could be verified"
    return f"the Deployment was changed again by {writer}, before the rollback could be verified"


def observed(deployment: dict[str, Any]) -> bool:
    """Say whether the Deployment controller has seen the newest change."""
    seen = int((deployment.get("status") or {}).get("observedGeneration") or 0)
    return seen >= int(deployment["metadata"].get("generation") or 0)


def changed_again(case: Case, deployment: dict[str, Any]) -> bool:
    """Say whether somebody has changed the Deployment since the rollback.

    A new image by `kubectl set image` keeps our note, but not the revision's number.
    """
    ours = rolled_back_note(deployment).get("case") == case.id and deployment["metadata"].get("uid") == case.uid
    scaled_up = case.result("confirm", "scaleToZero") and deployment["spec"].get("replicas") != 0
    return not ours or bool(scaled_up) or newest_revision(deployment) > int(case.result("revert", "newRevision"))


def _part(name: str, look: Callable[[], tuple[bool, str]]) -> Part:
    """Look at one part; a fault means that it doesn't hold yet, and is said."""
    try:
        holds, said = look()
    except Fault as fault:
        holds, said = False, f"{name} can't be checked: {fault}"
    return Part(name, holds, said)


def rollout_status(deployment: dict[str, Any]) -> tuple[bool, str]:
    """Say what `kubectl rollout status` would: observed first, then the deadline, then the replica counts."""
    status = deployment.get("status") or {}
    if not observed(deployment):
        return False, "rollout: not observed by the Deployment controller yet"
    progressing: dict[str, Any] = next(
        (c for c in status.get("conditions") or [] if c.get("type") == "Progressing"), {}
    )
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return False, "rollout: past its progress deadline"
    replicas = deployment["spec"].get("replicas")
    wanted = 1 if replicas is None else int(replicas)
    updated, every, available = (int(status.get(k) or 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
    if updated < wanted:
        return False, f"rollout: {updated} of {wanted} pods updated"
    if every > updated:
        return False, f"rollout: {every - updated} old pods still to go"
    if available < updated:
        return False, f"rollout: {available} of {updated} pods available"
    return True, f"rollout complete, {available} of {wanted} pods available"


class _Pods:
    """The target revision's pods, asked for once and only when needed."""

    def __init__(self, cluster: Cluster, case: Case, deployment: dict[str, Any]) -> None:
        self._cluster, self._case, self._deployment = cluster, case, deployment
        self._found: list[dict[str, Any]] | None = None

    def all(self) -> list[dict[str, Any]]:
        """Every pod of the target ReplicaSet that isn't being deleted, nor over (an evicted one stays as Failed)."""
        if self._found is None:
            listed = self._cluster.get(paths.pods(self._case.namespace), selector_query(self._deployment))
            uid = self._case.result("confirm", "targetUid")
            self._found = [p for p in listed.get("items") or [] if _belongs(p, uid)]
        return self._found


def _belongs(pod: dict[str, Any], uid: object) -> bool:
    meta = pod["metadata"]
    owned = any(owner.get("uid") == uid for owner in meta.get("ownerReferences") or [])
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return owned and not over and not meta.get("deletionTimestamp")


def _image(case: Case, deployment: dict[str, Any], pods: _Pods) -> tuple[bool, str]:
    """The runbook's jsonpath on the Deployment, and the same on the pods that run."""
    if case.result("confirm", "scaleToZero"):
        return True, "image: none, scaled to 0 pods"
    wanted = str(case.result("confirm", "targetImage"))
    declared = images_of(deployment["spec"]["template"])
    if declared != wanted:
        return False, f"image: the Deployment says {declared}, not {wanted}"
    # A mutating webhook may rewrite the registry; what counts is that the pods are the target ReplicaSet's.
    return True, f"image {wanted} on {len(pods.all())} pods"


def readyz_target(template: dict[str, Any]) -> tuple[Scheme, int, str] | None:
    """Find where to ask for /readyz: scheme, port and path. None where the template names no port."""
    containers = template["spec"].get("containers") or []
    for container in containers:
        probe = (container.get("readinessProbe") or {}).get("httpGet")
        port = _port(probe.get("port"), container) if probe else None
        if probe and port:
            scheme: Scheme = "https" if str(probe.get("scheme")).upper() == "HTTPS" else "http"
            return scheme, port, _plain(str(probe.get("path") or "/readyz"))
    for container in containers:
        for declared in container.get("ports") or []:
            return "http", int(declared["containerPort"]), "/readyz"
    return None


def _plain(path: str) -> str:
    """Keep a path within its pod: it comes out of a template, and is asked with the daemon's rights."""
    segments = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
    return "/readyz" if {".", ".."} & set(segments) else path


def _port(port: object, container: dict[str, Any]) -> int | None:
    if isinstance(port, int):
        return port
    named = (p for p in container.get("ports") or [] if p.get("name") == port)
    return next((int(p["containerPort"]) for p in named), None)
