"""`canary-watch validate` and `canary-watch schema`: policies looked at without a cluster or a Prometheus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from watcher import settings
from watcher.documents import Mistake
from watcher.policy.document import json_schema
from watcher.policy.loading import files_of, load
from watcher.policy.model import Policy


def validate(paths: list[Path], config: Path | None, output: str, out: TextIO) -> int:
    """Check policy files and folders, and with `config` that file and how the two go together.

    Prints every mistake as `file:line:column: what would be right`, or JSON if `output` is `json`; 1 on mistakes.
    """
    files = [str(file) for file in files_of(paths)[0]]
    policies, mistakes = load(paths)
    if config:
        files.append(str(config))
        mistakes = tuple(sorted({*mistakes, *_config_mistakes(config, policies)}))
    if output == "json":
        json.dump(_as_json(files, policies, mistakes), out, indent=2)
        out.write("\n")
    else:
        for mistake in mistakes:
            out.write(f"{mistake}\n")
        out.write(_summary(files, policies, mistakes) + "\n")
    return 1 if mistakes else 0


def schema(out: TextIO) -> int:
    """Print the policy file's JSON Schema."""
    json.dump(json_schema(), out, indent=2)
    out.write("\n")
    return 0


def _config_mistakes(config: Path, policies: tuple[Policy, ...]) -> tuple[Mistake, ...]:
    loaded, mistakes = settings.load(config)
    return mistakes + (settings.check_against(loaded, policies) if loaded else ())


def _summary(files: list[str], policies: tuple[Policy, ...], mistakes: tuple[Mistake, ...]) -> str:
    checks = sum(len(policy.checks) for policy in policies)
    counted = ", ".join((_count(len(files), "file"), _count(len(policies), "policy"), _count(checks, "check")))
    return f"{counted}: {_count(len(mistakes), 'mistake') if mistakes else 'no mistakes'}"


def _count(number: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def _as_json(files: list[str], policies: tuple[Policy, ...], mistakes: tuple[Mistake, ...]) -> dict[str, object]:
    return {
        "files": files,
        "mistakes": [
            {"file": mistake.file, "line": mistake.line, "column": mistake.column, "said": mistake.said}
            for mistake in mistakes
        ],
        "policies": [
            {"name": policy.name, "file": policy.source, "checks": [check.name for check in policy.checks]}
            for policy in policies
        ],
    }
