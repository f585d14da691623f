"""Loads policies: files and folders in, `Policy` values and every mistake of every file out.

Puts together `documents`, `validation`, the format (`document`) and its `rules`; the daemon and `validate` load here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from watcher.documents import Document, Mistake, file_flaw, read
from watcher.policy.conversion import policy_of
from watcher.policy.document import SHAPE
from watcher.policy.model import Policy
from watcher.policy.rules import mistakes as mistakes_of
from watcher.validation import validated

_NAME = ("metadata", "name")
_VERSION = ("spec", "migrations", "version")


def load(paths: Sequence[Path]) -> tuple[tuple[Policy, ...], tuple[Mistake, ...]]:
    """Load policies from files and folders: those without a mistake, and all mistakes by file and place.

    A name that an earlier file has taken is a mistake of the later file.
    """
    policies: dict[str, Policy] = {}
    taken: dict[str, str] = {}
    files, found = files_of(paths)
    for file in files:
        document, wrong = read(file)
        policy = None
        if document:
            policy, more = _policy(document, sound=not wrong)
            wrong += more
            wrong += _name_mistakes(document, taken)
        if policy and not wrong:
            policies[policy.name] = policy
        found += wrong
    return tuple(policies.values()), tuple(sorted(set(found)))


def missing_files(policies: Sequence[Policy]) -> tuple[Mistake, ...]:
    """Name the policies' DSN files that can't be read now, each at its key; not the path, which may be the secret.

    Files that `load` has made `policies` of are read again for the places, and only when there is a mistake to place.
    """
    found: list[Mistake] = []
    for policy in policies:
        query = policy.migrations.version if policy.migrations else None
        flaw = file_flaw(Path(query.dsn_file)) if query else ""
        if not flaw:
            continue
        said, document = f"dsnFile: {flaw}", read(Path(policy.source))[0]
        sources = [(*_VERSION, kind, "dsnFile") for kind in ("sql", "django")]
        path = next((path for path in sources if document and path in document.nodes), _VERSION)
        found.append(document.mistake(path, said) if document else Mistake(policy.source, 1, 1, said))
    return tuple(sorted(found))


def files_of(paths: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Mistake, ...]]:
    """Name the files to load, each once: a folder's are its *.yaml and *.yml.

    Names that begin with a dot are passed over, and with them the `..data` of a ConfigMap's mount.
    """
    files: dict[Path, Path] = {}
    found: list[Mistake] = []
    for path in paths:
        listed = [path]
        if path.is_dir():
            try:
                listed = sorted(file for file in path.iterdir() if _is_policy(file))
            except OSError as error:
                found.append(Mistake(str(path), 1, 1, f"cannot be read: {error.strerror}"))
                continue
            if not listed:
                found.append(Mistake(str(path), 1, 1, "the folder holds no policy: no *.yaml or *.yml"))
        for file in listed:
            files.setdefault(file.resolve(), file)
    return tuple(files.values()), tuple(found)


def _is_policy(file: Path) -> bool:
    return file.suffix in (".yaml", ".yml") and not file.name.startswith(".") and not file.is_dir()


def _policy(document: Document, *, sound: bool) -> tuple[Policy | None, tuple[Mistake, ...]]:
    fitted = validated(document, SHAPE)
    written, wrong = fitted[0], fitted[1] + tuple(mistakes_of(document))
    return (policy_of(written, document.file) if written and sound and not wrong else None), wrong


def _name_mistakes(document: Document, taken: dict[str, str]) -> tuple[Mistake, ...]:
    metadata = document.data.get("metadata") if isinstance(document.data, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        return ()
    first = taken.setdefault(name, document.file)
    if first == document.file:
        return ()
    return (
        document.mistake(_NAME, f"name: {name} is the name of {first} already; names are unique over all policies"),
    )
