"""The policy file's format: pydantic models with a description for every key, and their JSON Schema.

What can be said of one key alone is checked here; what takes several keys or PromQL is in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, TypeAdapter, WithJsonSchema, field_validator

from watcher.policy.kinds import (
    QUANTITY_SCHEMA,
    Duration,
    Key,
    LabelValue,
    Name,
    Namespace,
    Quantity,
    Section,
    Switch,
    Text,
    Url,
    written_quantity,
)
from watcher.policy.migrations import MigrationsSection
from watcher.policy.model import PREFIX


class LabelNames(Section):
    """Which labels of the metrics name the subject, where they aren't called namespace, deployment and pod."""

    namespace: Text = Field(default="namespace", description="The label that holds the namespace.")
    deployment: Text = Field(default="deployment", description="The label that holds the Deployment's name.")
    pod: Text = Field(
        default="pod", description="The label that holds the pod's name.", examples=["kubernetes_pod_name"]
    )


class RatioSection(Section):
    """Two counts, and the share of the first in the second."""

    bad: Text = Field(description="PromQL that counts what is bad. No series where `total` has one means zero.")
    total: Text = Field(description="PromQL that counts everything. No series means that nothing is known.")
    per: Literal["pod"] | None = Field(
        default=None, description="The series carry a pod, and are summed by revision. Both queries use $pod."
    )
    labels: LabelNames | None = Field(default=None, description="How the metrics name namespace, deployment and pod.")


class FromAnnotation(Section):
    """A threshold that each Deployment sets for itself."""

    annotation: Key = Field(
        description="The Deployment's annotation that holds the threshold.", examples=[PREFIX + "slo-p99"]
    )
    default: Quantity | None = Field(
        default=None, description="The threshold without that annotation. Left out: such a Deployment isn't judged."
    )


class AtLeast(Section):
    """How many are needed before a ratio means anything."""

    total: Annotated[float, Field(ge=0, strict=False)] = Field(default=0.0, description="At least so many in all.")
    bad: Annotated[float, Field(ge=0, strict=False)] = Field(default=0.0, description="At least so many bad ones.")

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, written: object) -> object:
        if isinstance(written, bool | str):
            raise ValueError(f"{str(written).lower()} is not a count; write a number without quotes")
        return written


class JobSection(Section):
    """A smoke test that runs as a Job."""

    label: Key = Field(
        default=PREFIX + "smoke-test-for", description="The Job's label whose value is the Deployment's name."
    )


class HttpSection(Section):
    """A smoke test that the daemon makes itself."""

    url: Url = Field(
        description="What to GET; $namespace and $deployment are filled in.",
        examples=["http://$deployment.$namespace:8080/smoke"],
    )
    failures: int = Field(
        default=3,
        ge=1,
        description="So many wrong answers in a row are a breach, held until one was right since the rollout's start. "
        "No answer (timeout, refused) is Unknown: it neither counts nor ends a run.",
    )
    status: int = Field(default=200, ge=100, le=599, description="The right answer's status.")
    timeout: Duration = Field(
        default=5.0, description="How long to wait for an answer.", json_schema_extra={"default": "5s"}
    )


class SmokeTestSection(Section):
    """A smoke test: a Job or an HTTP probe."""

    job: JobSection | None = Field(default=None, description="A labelled Job, created after the rollout's start.")
    http: HttpSection | None = Field(default=None, description="A URL that the daemon asks in every pass.")


def _above(written: object) -> str | FromAnnotation:
    return FromAnnotation.model_validate(written) if isinstance(written, dict) else written_quantity(written)


_ABOVE_SCHEMA = {"anyOf": [*QUANTITY_SCHEMA["anyOf"], FromAnnotation.model_json_schema()]}
Above = Annotated[str | FromAnnotation, PlainValidator(_above), WithJsonSchema(_ABOVE_SCHEMA)]


class CheckSection(Section):
    """One question to a rollout: a ratio, a value or a smoke test."""

    name: Name = Field(description="The check's name, unique in its policy.", examples=["error-rate"])
    ratio: RatioSection | None = Field(default=None, description="Bad ones out of all.")
    value: Text | None = Field(default=None, description="PromQL: one number for each Deployment.")
    smoke_test: SmokeTestSection | None = Field(default=None, description="A Job or an HTTP probe.")
    above: Above | None = Field(
        default=None,
        description="The threshold, with its unit: 1% of a ratio; 500ms, 1% or a number of a value; or an annotation.",
        examples=["1%", "500ms", {"annotation": PREFIX + "slo-p99", "default": "500ms"}],
    )
    for_: Duration | None = Field(
        default=None,
        alias="for",
        description="Every reading in this time must be over. At least one interval; left out, one reading is enough.",
        examples=["1m"],
    )
    at_least: AtLeast | None = Field(default=None, description="How many are needed before a ratio means anything.")
    control: Literal["none", "previous-revision"] = Field(
        default="none",
        description="previous-revision: new pods must also be worse than the old ones that still serve (per: pod).",
    )
    labels: LabelNames | None = Field(default=None, description="How the metrics name namespace, deployment and pod.")
    promql_check: Switch = Field(
        default="on",
        alias="promqlCheck",
        description="off: don't check the PromQL offline, for what only a newer or an older Prometheus knows.",
    )


class Match(Section):
    """Which Deployments the policy is for."""

    namespaces: list[Namespace] = Field(
        min_length=1, description='The namespaces, or "*" for all.', examples=['["*"]', '["shop", "checkout"]']
    )
    labels: dict[Key, LabelValue] = Field(default={}, description="Labels that the Deployment has; all must be equal.")


class RollbackToSection(Section):
    """A fixed target."""

    revision: int = Field(
        ge=1, description="The revision's number, as kubectl rollout history shows it.", examples=[41]
    )


class Spec(Section):
    """The policy itself."""

    match: Match = Field(description="Which Deployments.", examples=['{namespaces: ["*"]}'])
    watch_for: Duration = Field(description="How long a rollout is under watch, from its start.", examples=["30m"])
    verify_within: Duration = Field(
        default=600.0,
        description="How long a rollback may take until it is verified.",
        json_schema_extra={"default": "10m"},
    )
    rollback_to: RollbackToSection | None = Field(
        default=None,
        description="A fixed revision to go back to, instead of the newest good one. Where it is gone, or was rolled "
        "back itself, a person is paged. Each Deployment numbers its own revisions: let match name a single one.",
        examples=["{revision: 41}"],
    )
    no_earlier_revision: Literal["escalate", "scale-to-zero"] = Field(
        default="escalate",
        description="What is done about a bad Deployment that has no earlier revision: page, or scale it to 0 pods.",
    )
    migrations: MigrationsSection | None = Field(
        default=None,
        description="How a release's database migration is found out, and taken back.",
        examples=["{app: shop, version: {django: {dsnFile: /var/run/secrets/canary-watch/checkout-dsn}}}"],
    )
    checks: list[CheckSection] = Field(min_length=1, description="The questions put to each rollout.")


class Metadata(Section):
    """What the policy is called."""

    name: Name = Field(description="Unique over all policies.", examples=["error-rate"])


class PolicyFile(Section):
    """A policy of canary-watch: which Deployments are watched, and what makes a rollout a bad one."""

    api_version: Literal["canary-watch/v1"] = Field(description="The format's version.", examples=["canary-watch/v1"])
    kind: Literal["RollbackPolicy"] = Field(description="The file's kind.", examples=["RollbackPolicy"])
    metadata: Metadata = Field(description="The policy's name.", examples=["{name: error-rate}"])
    spec: Spec = Field(description="What to watch, and for how long.")


SHAPE = TypeAdapter(PolicyFile)


def json_schema() -> dict[str, Any]:
    """Give the policy file's JSON Schema (draft 2020-12) for editors: no nulls, and which keys go together."""
    schema: dict[str, Any] = _tidied(SHAPE.json_schema(by_alias=True))
    kinds = {
        "CheckSection": ("ratio", "value", "smokeTest"),
        "SmokeTestSection": ("job", "http"),
        "VersionSection": ("sql", "django", "annotation"),
    }
    for name, keys in kinds.items():
        schema["$defs"][name]["oneOf"] = [{"required": [key]} for key in keys]
    schema["$defs"]["DownSection"]["dependentRequired"] = {"plan": ["command"]}
    # Without an app, the version isn't Django's, neither is the command, and nothing is there to fill in for $app.
    words = {"items": {"pattern": r"^(?![\s\S]*\$app(?!\w))"}}
    own = {"required": ["command"], "properties": {"command": words, "plan": words}}
    otherwise = {"version": {"properties": {"django": False}}, "down": own}
    without_app = {"required": ["down"], "properties": otherwise}
    schema["$defs"]["MigrationsSection"]["anyOf"] = [{"required": ["app"]}, without_app]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "RollbackPolicy", **schema}


def _tidied(schema: Any) -> Any:
    """Take out generated titles, and the nulls that stand for keys left out: an empty key is a mistake."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidied(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    options = tidy.get("anyOf", ())
    if len(options) == 1:
        del tidy["anyOf"]
        return {**options[0], **tidy}
    return tidy
