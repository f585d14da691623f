"""Sound policies that the tests break in one place or another, and how to read the mistakes of the result."""

from __future__ import annotations

from pathlib import Path

from watcher.policy.loading import load

RATIO = """\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {name: error-rate}
spec:
  match: {namespaces: ["*"], labels: {}}
  watchFor: 30m
  checks:
  - name: error-rate
    ratio:
      bad: increase(errors_total{pod=~"$pod"}[1m])
      total: increase(requests_total{pod=~"$pod"}[1m])
      per: pod
    above: 1%
    for: 1m
    atLeast: {total: 100, bad: 5}
    control: previous-revision
"""

VALUE = """\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {name: latency}
spec:
  match: {namespaces: ["*"]}
  watchFor: 30m
  checks:
  - name: latency
    value: max by (namespace, deployment) (queue_length{deployment=~"$deployment"})
    above: 20
    for: 5m
"""

SMOKE = """\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {name: smoke}
spec:
  match: {namespaces: ["*"]}
  watchFor: 30m
  checks:
  - name: smoke
    smokeTest: {http: {url: "http://$deployment.$namespace:8080/smoke"}}
"""

MIGRATIONS = """\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {name: migrated}
spec:
  match: {namespaces: [shop], labels: {app: checkout}}
  watchFor: 30m
  rollbackTo: {revision: 41}
  noEarlierRevision: scale-to-zero
  migrations:
    app: shop
    version: {sql: {dsnFile: secrets/dsn, query: SELECT version FROM versions}}
    down:
      command: [bin/migrate, $app, $version]
      plan: [bin/plan, --for=$app, --to=$version]
      container: web
      initContainers: [proxy]
      timeout: 5m
    order: before
    irreversible: revert
  checks:
  - name: smoke
    smokeTest: {job: {}}
"""


def changed(text: str, old: str, new: str) -> str:
    """Replace what stands in `text` exactly once."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the policy"
    return text.replace(old, new)


def mistakes_of(folder: Path, text: str) -> list[str]:
    """Load one policy and give its mistakes as `line:column: said`."""
    file = folder / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    return [f"{m.line}:{m.column}: {m.said}" for m in load([file])[1]]
