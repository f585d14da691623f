"""The rules that an object must keep to be stored: the handful of a real API server's that clients run into."""

from __future__ import annotations

from watcher.sandbox.cluster.events import check_event
from watcher.sandbox.cluster.formats import CONFIG_KEY, LABEL_VALUE, MICRO_TIME, NAME, QUALIFIED_NAME
from watcher.sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, JOB, LEASE, POD, REPLICA_SET, Kind, Object
from watcher.sandbox.cluster.refusal import bad_request, invalid
from watcher.sandbox.cluster.selectors import matches

LONGEST_NAME = 253
LONGEST_LABEL_VALUE = 63
LARGEST_ANNOTATIONS = 256 * 1024
LARGEST_CONFIG_MAP = 1024 * 1024


def check(kind: Kind, item: Object, before: Object | None) -> None:
    """Raise the refusal that a real API server would give `item`; `before` is what it replaces, None on creation."""
    name = str(item["metadata"].get("name", ""))
    if not name:
        raise invalid(kind, name, "metadata.name", "Required value: name or generateName is required")
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        problem = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric'
        raise invalid(kind, name, "metadata.name", f"{problem} characters, '-' or '.'")
    _check_labels(kind, name, item["metadata"].get("labels") or {}, "metadata.labels")
    _check_annotations(kind, name, item["metadata"].get("annotations") or {})
    if kind in {DEPLOYMENT, REPLICA_SET}:
        _check_workload(kind, name, item["spec"], before)
    elif kind is JOB:
        _check_job(name, item["spec"], before)
    elif kind is POD:
        _check_containers(kind, name, item["spec"], "spec")
    elif kind is CONFIG_MAP:
        _check_config_map(name, item)
    elif kind is EVENT:
        check_event(item)
    elif kind is LEASE:
        _check_lease(name, item.get("spec") or {})


def _check_labels(kind: Kind, name: str, labels: Object, field: str) -> None:
    _check_strings(kind, labels, field)
    for key, value in labels.items():
        if not QUALIFIED_NAME.fullmatch(key):
            raise invalid(
                kind, name, field, f'Invalid value: "{key}": name part must consist of alphanumeric characters'
            )
        if len(value) > LONGEST_LABEL_VALUE:
            problem = f'Invalid value: "{value}": must be no more than {LONGEST_LABEL_VALUE} characters'
            raise invalid(kind, name, field, problem)
        if not LABEL_VALUE.fullmatch(value):
            problem = f'Invalid value: "{value}": a valid label must be an empty string or consist of alphanumeric'
            raise invalid(kind, name, field, f"{problem} characters, '-', '_' or '.'")


def _check_annotations(kind: Kind, name: str, annotations: Object) -> None:
    _check_strings(kind, annotations, "metadata.annotations")
    for key in annotations:
        if not QUALIFIED_NAME.fullmatch(key.lower()):
            problem = f'Invalid value: "{key}": name part must consist of alphanumeric characters'
            raise invalid(kind, name, "metadata.annotations", problem)
    if sum(len(text.encode()) for pair in annotations.items() for text in pair) > LARGEST_ANNOTATIONS:
        problem = f"Too long: must have at most {LARGEST_ANNOTATIONS} bytes"
        raise invalid(kind, name, "metadata.annotations", problem)


def _check_strings(kind: Kind, values: Object, field: str) -> None:
    if not all(isinstance(value, str) for value in values.values()):
        raise bad_request(
            f'{kind.name} in version "v1" cannot be handled as a {kind.name}: {field} must map strings to strings'
        )


def _check_workload(kind: Kind, name: str, spec: Object, before: Object | None) -> None:
    if not isinstance(spec.get("selector"), dict):
        raise invalid(kind, name, "spec.selector", "Required value")
    labels = spec["template"]["metadata"].get("labels") or {}
    _check_labels(kind, name, labels, "spec.template.labels")
    if not matches(spec["selector"], labels):
        problem = "Invalid value: `selector` does not match template `labels`"
        raise invalid(kind, name, "spec.template.metadata.labels", problem)
    if before and before["spec"]["selector"] != spec["selector"]:
        raise invalid(kind, name, "spec.selector", "Invalid value: field is immutable")
    if not isinstance(spec["replicas"], int) or spec["replicas"] < 0:
        raise invalid(kind, name, "spec.replicas", "Invalid value: must be greater than or equal to 0")
    _check_containers(kind, name, spec["template"]["spec"], "spec.template.spec")


def _check_job(name: str, spec: Object, before: Object | None) -> None:
    pod = spec["template"]["spec"]
    if pod["restartPolicy"] not in {"OnFailure", "Never"}:
        problem = 'Required value: valid values: "OnFailure", "Never"'
        raise invalid(JOB, name, "spec.template.spec.restartPolicy", problem)
    if before and before["spec"]["template"] != spec["template"]:
        raise invalid(JOB, name, "spec.template", "Invalid value: field is immutable")
    _check_containers(JOB, name, pod, "spec.template.spec")


def _check_containers(kind: Kind, name: str, pod: Object, field: str) -> None:
    if not pod.get("containers"):
        raise invalid(kind, name, f"{field}.containers", "Required value")
    for index, container in enumerate(pod["containers"]):
        for required in ("name", "image"):
            if not container.get(required):
                raise invalid(kind, name, f"{field}.containers[{index}].{required}", "Required value")


def _check_config_map(name: str, item: Object) -> None:
    data = item.get("data") or {}
    _check_strings(CONFIG_MAP, data, "data")
    for key in data:
        if not CONFIG_KEY.fullmatch(key):
            problem = f'Invalid value: "{key}": a valid config key must consist of alphanumeric characters'
            raise invalid(CONFIG_MAP, name, f"data[{key}]", f"{problem}, '-', '_' or '.'")
    if sum(len(value.encode()) for value in data.values()) > LARGEST_CONFIG_MAP:
        raise invalid(CONFIG_MAP, name, "[]", f"Too long: must have at most {LARGEST_CONFIG_MAP} bytes")


def _check_lease(name: str, spec: Object) -> None:
    for field in ("renewTime", "acquireTime"):
        if spec.get(field) is not None and not MICRO_TIME.fullmatch(str(spec[field])):
            problem = f'{field}: parsing time "{spec[field]}" as "2006-01-02T15:04:05.000000Z07:00"'
            raise bad_request(f'Lease in version "v1" cannot be handled as a Lease: {problem}')
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and (not isinstance(duration, int) or duration <= 0):
        raise invalid(LEASE, name, "spec.leaseDurationSeconds", f"Invalid value: {duration}: must be greater than 0")
