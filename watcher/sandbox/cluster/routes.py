"""What a request's path names: a kind, and in it a namespace, an object and a subresource."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from watcher.sandbox.cluster import events, refusal
from watcher.sandbox.cluster.kinds import BY_RESOURCE, EVENT, Kind


@dataclass(frozen=True)
class Route:
    """A path, taken apart; what it doesn't name is "".

    `renamed` says that the objects are Events under the names of events.k8s.io/v1.
    """

    kind: Kind
    namespace: str
    name: str
    subresource: str
    rest: str
    renamed: bool

    @classmethod
    def read(cls, path: str) -> Route:
        """From a request's path; raises a 404 for one under which nothing is served."""
        parts = [unquote(part) for part in path.split("/")[1:]]
        if parts[:2] == ["api", "v1"]:
            group, parts = "", parts[2:]
        elif parts[:1] == ["apis"] and parts[2:3] == ["v1"]:
            group, parts = parts[1], parts[3:]
        else:
            raise refusal.no_such_resource()
        namespace = ""
        if len(parts) > 2 and parts[0] == "namespaces" and parts[2] not in {"status", "finalize"}:
            namespace, parts = parts[1], parts[2:]
        plural, name, subresource, *rest = [*parts, "", "", ""]
        renamed = (group, plural) == (events.GROUP, EVENT.plural)
        kind = EVENT if renamed else BY_RESOURCE.get((group, plural))
        if kind is None or (namespace and not kind.namespaced):
            raise refusal.no_such_resource()
        return cls(kind, namespace, name, subresource, "/".join(rest[:-3]), renamed)
