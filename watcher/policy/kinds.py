"""What the sections of a policy file are made of: kinds of values, each with its error message, and their base class.

For `document` and `migrations`, which say what keys there are.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel

from watcher import quantities
from watcher.validation import split_url

_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_APP = r"^[A-Za-z_][A-Za-z0-9_]*$"
# What a connection string has and the name of a file has not; read by editors, too, whose expressions are ECMA's.
_NO_DSN = r"^(?![\s\S]*(://|@|(^|\s)(host|user|password|dbname)\s*=))"
_SHORTEST_JOB = 1.0  # seconds: a Job's deadline is in whole ones
DURATION_SCHEMA = {"type": "string", "pattern": quantities.DURATION}
QUANTITY_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^[0-9].*"}, {"type": "number"}]}


def _name(written: str) -> str:
    if not re.fullmatch(_NAME, written):
        raise ValueError(f'"{written}" is not a name; write at most 63 of a-z, 0-9 and dashes, none at either end')
    return written


def _namespace(written: str) -> str:
    if written != "*" and "*" in written:
        raise ValueError(f'"{written}" is not a namespace; a name in full, or "*" alone for all of them')
    return written if written == "*" else _name(written)


def _key(written: str) -> str:
    if not re.fullmatch(_KEY, written):
        raise ValueError(f'"{written}" is not a Kubernetes key; write it like app.kubernetes.io/name')
    return written


def _label_value(written: str) -> str:
    if not re.fullmatch(_LABEL_VALUE, written):
        raise ValueError(f'"{written}" is not a label value; at most 63 letters, digits, dashes, dots and underscores')
    return written


def _url(written: str) -> str:
    unknown = [name for name in re.findall(r"\$\{?(\w+)", written) if name not in ("namespace", "deployment")]
    if unknown or "${" in written:
        raise ValueError("only $namespace and $deployment are known in a url, written without braces")
    parts = split_url(written)
    if parts is None:
        raise ValueError("is not a URL; write it like http://$deployment.$namespace:8080/smoke")
    if "@" in parts.netloc:
        raise ValueError("holds credentials; a policy is no place for them")
    return written


def _app(written: str) -> str:
    """Check an app's label: https://docs.djangoproject.com/en/5.2/ref/applications/#django.apps.AppConfig.label."""
    if not re.fullmatch(_APP, written):
        raise ValueError(f'"{written[:60]}" is not an app label; write letters, digits and underscores, like shop')
    return written


def _dsn_file(written: str) -> str:
    """Check that a path is none, without ever repeating what may be a password."""
    if not re.search(_NO_DSN, written):
        raise ValueError("is a connection string; put it into a file of a Secret, and write that file's path here")
    return written


def _job_time(written: object) -> float:
    value = quantities.seconds(written)
    if value < _SHORTEST_JOB:
        raise ValueError(f"{written} is too short; write at least {quantities.as_duration(_SHORTEST_JOB)}")
    return value


def _switch(written: object) -> str:
    """Read `on` and `off`, which YAML reads as true and false where they stand without quotes."""
    if isinstance(written, bool):
        return "on" if written else "off"
    if written not in ("on", "off"):
        raise ValueError("write on or off")
    return str(written)


def written_quantity(written: object) -> str:
    """Check a quantity, and keep it as it was written; ValueError says what would be right."""
    quantities.quantity(written)
    return written if isinstance(written, str) else quantities.show(float(str(written)))


Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": _NAME})]
Namespace = Annotated[str, AfterValidator(_namespace)]
Key = Annotated[str, AfterValidator(_key), Field(json_schema_extra={"pattern": _KEY})]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Url = Annotated[str, AfterValidator(_url)]
AppLabel = Annotated[Text, AfterValidator(_app), Field(json_schema_extra={"pattern": _APP})]
DsnFile = Annotated[Text, AfterValidator(_dsn_file), Field(json_schema_extra={"pattern": _NO_DSN})]
Duration = Annotated[float, PlainValidator(quantities.longer_than_zero), WithJsonSchema(DURATION_SCHEMA)]
JobTime = Annotated[float, PlainValidator(_job_time), WithJsonSchema(DURATION_SCHEMA)]
Quantity = Annotated[str, PlainValidator(written_quantity), WithJsonSchema(QUANTITY_SCHEMA)]
Switch = Annotated[str, PlainValidator(_switch), WithJsonSchema({"enum": ["on", "off", True, False]})]


class Section(BaseModel):
    """A mapping of the policy file: unknown keys, wrong types and keys without a value are mistakes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, allow_inf_nan=False, title=""
    )

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, written: object) -> object:
        if written is None:
            raise ValueError("is empty; write a value, or leave the key out if it isn't needed")
        return written
