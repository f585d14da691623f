"""What a real API server fills in, so that a stored template reads the same here as there."""

from __future__ import annotations

from watcher.sandbox.cluster.kinds import DEPLOYMENT, JOB, NAMESPACE, POD, REPLICA_SET, Kind, Object

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def fill_in(kind: Kind, item: Object) -> None:
    """Set the defaults of `item`, which is the caller's own copy, in place."""
    if kind is NAMESPACE:
        item.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        item.setdefault("status", {}).setdefault("phase", "Active")
    elif kind is POD:
        _pod(item.setdefault("spec", {}))
        item.setdefault("status", {}).setdefault("phase", "Pending")
    elif kind is DEPLOYMENT:
        _deployment(item.setdefault("spec", {}))
    elif kind is REPLICA_SET:
        spec = item.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        _template(spec)
    elif kind is JOB:
        _job(item)
    if kind.status:
        item.setdefault("status", {})


def _deployment(spec: Object) -> None:
    _default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _default(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _job(item: Object) -> None:
    spec, metadata = item.setdefault("spec", {}), item["metadata"]
    _default(spec, parallelism=1, completions=1, backoffLimit=6)
    _template(spec)
    own = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    if "selector" not in spec:
        spec["selector"] = {"matchLabels": {"controller-uid": metadata["uid"]}}
        labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
        labels.update(own)
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)


def _template(spec: Object) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod(template.setdefault("spec", {}))


def _pod(spec: Object) -> None:
    _default(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        _container(container)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    _default(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="IfNotPresent" if "@" in image or tag not in {"", "latest"} else "Always",
    )
    for port in container.get("ports", ()):
        _default(port, protocol="TCP")
    for variable in container.get("env", ()):
        if "fieldRef" in variable.get("valueFrom", {}):
            _default(variable["valueFrom"]["fieldRef"], apiVersion="v1")
    for probe in (container[name] for name in PROBES if name in container):
        _default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        if "httpGet" in probe:
            _default(probe["httpGet"], path="/", scheme="HTTP")


def _default(target: Object, **values: object) -> None:
    for name, value in values.items():
        target.setdefault(name, value)
