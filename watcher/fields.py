"""What a key of the config file may hold: each kind checks one value and says what would be right. For `settings`."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, PlainValidator, Strict, StringConstraints, ValidationInfo, WithJsonSchema

from watcher import quantities
from watcher.validation import split_url

SHORTEST_INTERVAL = 1.0  # seconds, as is every time here
SHORTEST_LEASE = 3.0

_ID = r"[A-Z0-9]{4,}"


def _url(written: str) -> str:
    """Check a URL without ever repeating it: it may hold a password."""
    parts = split_url(written)
    if parts is None:
        raise ValueError("is not a URL; write http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("holds credentials; take them out, secrets are read from files")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path, without ? and #")
    return written


def _file(written: object, info: ValidationInfo) -> Path:
    if not isinstance(written, str) or not written or "\0" in written:
        raise ValueError("is not a path; write the name of a file, relative to the config file's folder")
    folder = (info.context or {}).get("folder", Path())
    return Path(folder) / written


def _optional_file(written: object, info: ValidationInfo) -> Path | None:
    return None if written is None else _file(written, info)


def _interval(written: object) -> float:
    return _at_least(written, SHORTEST_INTERVAL)


def _lease_duration(written: object) -> float:
    return _at_least(written, SHORTEST_LEASE)


def _at_least(written: object, shortest: float) -> float:
    value = quantities.seconds(written)
    if value < shortest:
        raise ValueError(f"{written} is too short; write at least {quantities.as_duration(shortest)}")
    return value


def _channel(written: object) -> str:
    if written is None:
        raise ValueError('is empty: in YAML # begins a comment; write the channel in quotes, like "#deploy"')
    if not isinstance(written, str) or not re.fullmatch(rf"#[^\s#A-Z]+|[CG]{_ID}", written):
        raise ValueError('is not a Slack channel; write its name like "#deploy", or its id, like C0123ABCD')
    return written


def _slack_id(written: str) -> str:
    if not re.fullmatch(rf"[UWS]{_ID}", written):
        raise ValueError(
            f'"{written[:40]}" is not an id; Slack tags by id, not by name: a person (U0123ABCD or W0123ABCD), '
            "or a user group (S0123ABCD); Slack shows it in the profile's menu, Copy member ID"
        )
    return written


def _address(written: object) -> str:
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):([0-9]{1,5})", written) if isinstance(written, str) else None
    if not found or not 0 <= int(found[1]) <= 65535:
        raise ValueError("is not an address; write host and port, like 0.0.0.0:8080")
    return str(written)


def _mail(written: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", written):
        raise ValueError("is not an e-mail address; write that of a PagerDuty user")
    return written


def _namespace(written: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", written):
        raise ValueError(f'"{written}" is not a namespace; for all of them, leave namespaces empty: []')
    return written


def _share(written: object) -> float:
    found = re.fullmatch(quantities.PERCENTAGE, written) if isinstance(written, str) else None
    if not found or float(found[1]) >= 100:
        raise ValueError(f"{quantities.quoted(written)} is not a share of requests; write a percentage, like 0.1%")
    return float(found[1]) / 100


def _time_zone(written: str) -> str:
    try:
        ZoneInfo(written)
    except (KeyError, ValueError, OSError):
        close = difflib.get_close_matches(written.title(), available_timezones(), n=1)
        right = f"did you mean {close[0]}?" if close else "write it like Europe/Berlin, or UTC"
        raise ValueError(f'"{written[:40]}" is not a time zone; {right}') from None
    return written


def _dashboard(written: str) -> str:
    unknown = [name for name in re.findall(r"\$\{?(\w+)", written) if name not in ("namespace", "deployment")]
    if unknown or "${" in written:
        raise ValueError("only $namespace and $deployment are known in a dashboard, written without braces")
    parts = split_url(written if re.match(r"https?:", written) else f"http://grafana{written}")
    if parts is None or not written.startswith(("/", "http")) or written.startswith("//"):
        raise ValueError("is not a dashboard; write its path in Grafana, like /d/service?var-deployment=$deployment")
    if "@" in parts.netloc:
        raise ValueError("holds credentials; take them out, people open it with their own")
    return written


_TIME = WithJsonSchema({"type": "string", "examples": ["15s"]})
Text = Annotated[str, Strict(), StringConstraints(min_length=1)]
Url = Annotated[str, Strict(), AfterValidator(_url)]
File = Annotated[Path, PlainValidator(_file), WithJsonSchema({"type": "string"})]
OptionalFile = Annotated[Path | None, PlainValidator(_optional_file), WithJsonSchema({"type": "string"})]
Duration = Annotated[float, PlainValidator(quantities.longer_than_zero), _TIME]
Interval = Annotated[float, PlainValidator(_interval), _TIME]
LeaseDuration = Annotated[float, PlainValidator(_lease_duration), _TIME]
Mail = Annotated[str, Strict(), AfterValidator(_mail)]
Channel = Annotated[str, PlainValidator(_channel), WithJsonSchema({"type": "string", "examples": ['"#deploy"']})]
Share = Annotated[float, PlainValidator(_share), WithJsonSchema({"type": "string", "examples": ["0.1%"]})]
TimeZone = Annotated[str, Strict(), AfterValidator(_time_zone)]
DashboardPath = Annotated[str, Strict(), AfterValidator(_dashboard)]
SlackId = Annotated[str, Strict(), AfterValidator(_slack_id)]
Address = Annotated[str, PlainValidator(_address), WithJsonSchema({"type": "string"})]
Namespace = Annotated[str, Strict(), AfterValidator(_namespace)]
