"""What a release changed, in lines that people read, and never a secret among them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.runbook.changes import changes_between, history_of

Json = dict[str, Any]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"
DIGEST = "shop@sha256:" + "ab" * 32


def container(**fields: Any) -> Json:
    """A container `shop`."""
    return {"name": "shop", "image": "shop:1", **fields}


def template(*containers: Json, metadata: Json | None = None, **spec: Any) -> Json:
    """A pod template of these containers."""
    return {"metadata": metadata or {}, "spec": {"containers": list(containers or [container()]), **spec}}


def env(**values: str) -> list[Json]:
    """Literal env entries."""
    return [{"name": name, "value": value} for name, value in values.items()]


SECRET_A, SECRET_B = ({"valueFrom": {"secretKeyRef": {"name": "db", "key": key}}} for key in "ab")
IN_MAP = {"valueFrom": {"configMapKeyRef": {"name": "shop", "key": "db"}}}
IN_FIELD = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
IN_RESOURCE = {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
IN_FILE = {"valueFrom": {"fileKeyRef": {"key": "hunter"}}}


@pytest.mark.parametrize(
    ("name", "good", "bad", "how"),
    [
        ("TIMEOUT", {"value": "5s"}, {"value": "50s"}, ": 5s → 50s"),
        ("TIMEOUT", None, {"value": "50s"}, " added: 50s"),
        ("TIMEOUT", {"value": "5s"}, None, " removed (was 5s)"),
        ("MODE", {"value": "fast"}, {}, ": fast → (empty)"),
        ("DB_PASSWORD", {"value": "a"}, {"value": "b"}, " changed (value not shown)"),
        ("API_KEY", None, {"value": "b"}, " added (value not shown)"),
        ("API_KEY", {"value": "b"}, None, " removed (value not shown)"),
        ("DB", SECRET_A, SECRET_B, ": Secret `db` key `a` → Secret `db` key `b`"),
        ("DB", {"value": "hunter"}, SECRET_B, ": (value not shown) → Secret `db` key `b`"),
        ("DB", SECRET_B, {"value": "hunter"}, ": Secret `db` key `b` → (value not shown)"),
        ("DB", SECRET_B, None, " removed (was Secret `db` key `b`)"),
        ("DB", IN_MAP, IN_FIELD, ": ConfigMap `shop` key `db` → field `metadata.name`"),
        ("DB", IN_RESOURCE, IN_FILE, ": field `limits.cpu` → another source"),
    ],
)
def test_what_changed_in_env(name: str, good: Json | None, bad: Json | None, how: str) -> None:
    """A variable that came, went or changed; of what isn't a literal only the reference, and no literal beside it."""
    was, now = ([] if entry is None else [{"name": name, **entry}] for entry in (good, bad))
    lines = changes_between(template(container(env=now)), template(container(env=was)))
    assert lines == (f"env `{name}` of `shop`{how}",)


def probe(path: str, port: object, period: int) -> Json:
    """A readiness probe."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": period}


def mount(path: str) -> Json:
    """A mount of the volume `tls`."""
    return {"name": "tls", "mountPath": path}


@pytest.mark.parametrize(
    ("field", "good", "bad", "said"),
    [
        ("image", "shop:1", "shop:2", "image@: shop:1 → shop:2"),
        ("image", "shop:1", "team/" * 40 + DIGEST, "image@: shop:1 → …" + ("team/" * 40 + DIGEST)[-119:]),
        ("env", env(A="1", B="2"), env(B="2", A="1"), "env@ changed"),
        ("envFrom", [{"secretRef": {"name": "a"}}], None, "envFrom@ removed (was Secret `a`)"),
        ("envFrom", None, [{"configMapRef": {"name": "b"}, "prefix": "B_"}], "envFrom@ added: ConfigMap `b` as `B_`"),
        ("resources", {"limits": {"memory": "512Mi"}}, {"limits": {"memory": "1Gi"}}, "limits.memory@: 512Mi → 1Gi"),
        ("resources", {"limits": {"cpu": 1}}, {"requests": None}, "limits.cpu@ removed (was 1)"),
        ("resources", None, {"requests": {"cpu": "100m"}}, "requests.cpu@ added: 100m"),
        ("resources", None, {"claims": [{"name": "gpu"}]}, "resources@ changed"),
        ("ports", [{"name": "http", "containerPort": 80}], [{"containerPort": 8}], "ports@: http 80/TCP → 8/TCP"),
        ("readinessProbe", probe("/a", 80, 5), probe("/b", 80, 5), "readinessProbe.httpGet.path@: /a → /b"),
        ("readinessProbe", probe("/a", 80, 5), probe("/a", "http", 5), "readinessProbe.httpGet.port@: 80 → http"),
        ("readinessProbe", probe("/a", 80, 5), probe("/a", 80, 10), "readinessProbe.periodSeconds@: 5 → 10"),
        ("lifecycle", {"x": {"command": ["a"]}}, {"x": {"command": ["b"]}}, "lifecycle.x.command@ changed"),
        ("livenessProbe", {"exec": {}}, None, "livenessProbe@ removed"),
        ("securityContext", {"privileged": False}, {"privileged": True}, "securityContext.privileged@: false → true"),
        ("volumeMounts", [mount("/a")], [mount("/b")], "volume mounts@: `tls` at /a → `tls` at /b"),
        ("someday", "x", "y", "someday@ changed"),
    ],
    ids=str,
)
def test_what_changed_in_a_container(field: str, good: Any, bad: Any, said: str) -> None:
    """Each part of a container has its own words, from what ran before to what the release brought."""
    lines = changes_between(template(container(**{field: bad})), template(container(**{field: good})))
    assert lines == (said.replace("@", " of `shop`", 1),)


@pytest.mark.parametrize(
    ("good", "bad", "how"),
    [
        (["--workers=4", "--debug"], ["--workers=8", "--debug"], ": --workers=4 → --workers=8"),
        (["serve"], ["serve", "--port", "8080"], " added: --port, 8080"),
        (["a", "b"], ["b", "a"], " changed"),
        (["--password=a"], ["--password=b"], ": --password=(not shown) → --password=(not shown)"),
        (["--token", "a"], ["--token", "b"], ": (not shown) → (not shown)"),
        ([], ["--password", "--token", "x"], " added: --password, (not shown), (not shown)"),
        ([], ["-phunter", "-u", "me", "-p", "hunter"], " added: -p(not shown), -u, (not shown), -p, (not shown)"),
        ([], ["-p", "8080"], " added: -p, 8080"),
        ([], ["-port=hunter"], " added: -p(not shown)"),
        ([], ["DB_PASSWORD=hunter", "MODE=fast"], " added: DB_PASSWORD=(not shown), MODE=fast"),
        ([], ["postgres://shop:hunter@db/shop"], " added: (not shown)"),
        ([], ["--db=postgres://shop:hunter@db/shop"], " added: --db=(not shown)"),
        ([], ["sh -c 'exec shop --password hunter'"], " added: (not shown)"),
        ([], ["mysql -phunter"], " added: (not shown)"),
        ([], ["python manage.py runserver", ""], " added: python manage.py runserver, ''"),
    ],
    ids=str,
)
def test_arguments_are_shown_as_far_as_they_are_harmless(good: list[str], bad: list[str], how: str) -> None:
    """Only the arguments that differ, and of an option for a secret only its name."""
    lines = changes_between(template(container(args=bad)), template(container(args=good)))
    assert lines == (f"args of `shop`{how}",)


def test_what_changed_in_the_pod() -> None:
    """Containers come, go and change, the image first; volumes are named, never shown; the rest goes by its path."""
    good = template(container(command=["a"]), {"name": "proxy"}, terminationGracePeriodSeconds=30)
    bad = template({"name": "agent", "image": "agent:3"}, container(command=["b"]), terminationGracePeriodSeconds=5)
    good["spec"]["initContainers"], bad["spec"]["initContainers"] = [container()], [container(image="shop:2")]
    bad["spec"]["containers"][1]["image"] = "shop:2"
    good["spec"]["volumes"] = [{"name": "tls", "secret": {"secretName": "a"}}, {"name": "tmp", "emptyDir": {}}]
    bad["spec"]["volumes"] = [{"name": "tls", "secret": {"secretName": "b"}}, {"name": "data", "emptyDir": {}}]
    good["spec"] |= {"serviceAccountName": "shop", "serviceAccount": "shop", "hostAliases": [{"ip": "10.0.0.1"}]}
    bad["spec"] |= {"serviceAccountName": "root", "serviceAccount": "root", "nodeSelector": {"disk": "ssd"}}
    kept = copy.deepcopy((bad, good))
    assert changes_between(bad, good) == (
        "container `agent` added: agent:3",
        "image of `shop`: shop:1 → shop:2",
        "command of `shop`: a → b",
        "container `proxy` removed",
        "image of `shop`: shop:1 → shop:2",
        "volume `tls` changed",
        "volume `data` added",
        "volume `tmp` removed",
        "spec.terminationGracePeriodSeconds: 30 → 5",
        "spec.serviceAccountName: shop → root",
        "spec.nodeSelector added",
        "spec.hostAliases removed",
    )
    assert (bad, good) == kept, "the templates go on to be patched: reading leaves them as they are"


def test_containers_in_another_order() -> None:
    """The order is said, for the first container is the one that many tools take."""
    one, two = container(), {"name": "proxy", "image": "envoy:1"}
    assert changes_between(template(two, one), template(one, two)) == ("order of the containers changed",)


def test_labels_and_annotations() -> None:
    """The template's own marks, scrubbed as env is; a hash that the Deployment controller added is no change."""
    good = {"labels": {"version": "1.2", "pod-template-hash": "a"}, "annotations": {"checksum/config": "ab" * 32}}
    bad = {
        "labels": {"version": "1.3", "pod-template-hash": "b"},
        "annotations": {"checksum/config": "cd" * 32, "kubectl.kubernetes.io/restartedAt": "2026-11-23T10:00:00Z"},
    }
    assert changes_between(template(metadata=bad), template(metadata=good)) == (
        "label `version`: 1.2 → 1.3",
        "annotation `checksum/config` changed (value not shown)",
        "annotation `kubectl.kubernetes.io/restartedAt` added: 2026-11-23T10:00:00Z",
    )


@pytest.mark.parametrize(("count", "last"), [(20, "env `E19` of `shop` added: 19"), (26, "and 7 more")])
def test_many_changes_are_counted(count: int, last: str) -> None:
    """A message holds twenty lines, the last of which says how many more there are."""
    lines = changes_between(template(container(env=env(**{f"E{n}": str(n) for n in range(count)}))), template())
    assert (len(lines), lines[-1]) == (20, last)


HARMLESS = ["5s", "512Mi", "true", "0.75", "info", "us-east-1", "http://cart.shop:8080/v2", "*/5 * * * *", "1.2.3-rc4"]
SECRET_VALUES = f"""
    {JWT} AKIAIOSFODNN7EXAMPLE postgres://shop:hunter@db/shop https://a.example/?sig=hunter user=a;pwd=hunter p@ssw0rd!
    8f14e45fceea167a5a36dedd4bea2543 dGhpcyBpcyBub3QgYSBzZWNyZXQ 123e4567-e89b-12d3-a456-426614174000
    AB12-CD34-EF56-GH78 4111111111111111 hunter2 sk_live_abcdefgh xoxb-abc -----BEGIN/KEY {"x" * 61} für
"""
SECRET_NAMES = (
    "DB_PASSWORD passwd PGPASS dbPw CLIENT_SECRET api-token AWS_ACCESS_KEY_ID apikey CREDENTIALS BASIC_AUTH SENTRY_DSN "
    "PRIVATE_PEM TLS_CERT COOKIE SALT SIGNATURE CONNECTION_STRING ConnectionString DB_CONN_STR CONNSTR JWT SESSION_ID "
    "SLACK_WEBHOOK PIN GITHUB_PAT AZURE_SAS PASSPHRASE"
)


SHOWN = [("X", value, f": {value}") for value in HARMLESS]
NOT_SHOWN = [(name, "abc", " (value not shown)") for name in SECRET_NAMES.split()]


@pytest.mark.parametrize(("name", "value", "shown"), [*SHOWN, *NOT_SHOWN])
def test_a_short_plain_value_is_shown_unless_its_name_is_a_secrets(name: str, value: str, shown: str) -> None:
    """What helps to see what is wrong is not hidden for fear of what it isn't."""
    lines = changes_between(template(container(env=env(**{name: value}))), template())
    assert lines == (f"env `{name}` of `shop` added{shown}",)


@pytest.mark.parametrize("value", [*SECRET_VALUES.split(), "a\nb"])
def test_a_value_that_looks_like_a_secret_is_not_shown(value: str) -> None:
    """Even under a harmless name, in env, label, argument or annotation, and on its way out as well."""
    marks = {"labels": {"x": value}, "annotations": {"y": value}}
    secret = template(container(env=env(X=value), args=[value, f"--x={value}"]), metadata=marks)
    plain = template(container(env=env(X="1"), args=["a"]), metadata={"labels": {"x": "1"}, "annotations": {"y": "1"}})
    for lines in (changes_between(secret, plain), changes_between(plain, secret)):
        assert len(lines) == 4
        assert value not in "\n".join(lines)
        assert "env `X` of `shop` changed (value not shown)" in lines


CANARY = "swordfish"
WHERE, PLACES = ("before", "after", "both"), ("value", "valueFrom", "args", "flag", "annotation", "headers", "volume")
words = st.text("abcXYZ_09-. ", max_size=8)


@given(st.sampled_from(SECRET_NAMES.split()), words, words, st.sampled_from(WHERE), st.sampled_from(PLACES))
def test_a_planted_secret_never_shows(name: str, before: str, after: str, where: str, place: str) -> None:
    """Wherever it is planted, in what ran before, in what the release brought or in both, no line holds it."""
    named, value = f"{before}_{name}", f"{before}{CANARY}{after}"
    planted: dict[str, Json] = {
        "value": template(container(env=env(**{named: value}))),
        "valueFrom": template(container(env=[{"name": "X", "valueFrom": {"fileKeyRef": {"key": value}}}])),
        "args": template(container(args=[f"--{named}", value, "x"], command=[f"{name}={value}"])),
        "flag": template(container(args=["serve", f"--{name}={value}", f"-p{value}", f"-u{value}"])),
        "annotation": template(metadata={"annotations": {named: value}}),
        "headers": template(container(readinessProbe={"httpGet": {"httpHeaders": [{"name": name, "value": value}]}})),
        "volume": template(volumes=[{"name": "v", "csi": {"volumeAttributes": {name: value}}}], other={name: value}),
    }
    secret = planted[place]
    other = json.loads(json.dumps(secret).replace(CANARY, f"{CANARY}-2"))
    pairs = {"before": (template(), secret), "after": (secret, template()), "both": (other, secret)}
    assert CANARY not in "\n".join(changes_between(*pairs[where]))
    assert CANARY not in json.dumps(history_of([replica_set(1, cause=f"kubectl set env deploy/x {named}={value}")]))


def replica_set(number: int, cause: str = "", **annotations: str) -> Json:
    """A ReplicaSet of revision `number`, unless it is 0."""
    notes = {"deployment.kubernetes.io/revision": str(number), **annotations}
    if cause:
        notes["kubernetes.io/change-cause"] = cause
    meta = {"name": f"shop-{number}", "uid": f"uid-{number}", "creationTimestamp": "2026-11-23T10:00:00Z"}
    spec = {"template": template(container(image=f"shop:{number}"))}
    return {"metadata": {**meta, "annotations": notes if number else {}}, "spec": spec}


def test_the_history_of_a_deployment() -> None:
    """Newest first by number, as `kubectl rollout history` has it; another ReplicaSet's verdict counts nothing."""
    verdict, verdict_of = "canary-watch.io/verdict", "canary-watch.io/verdict-of"
    proven = replica_set(9, **{verdict: "proven", verdict_of: "uid-9"})
    inherited = replica_set(10, cause="shop 10 by CI", **{verdict: "proven", verdict_of: "uid-9"})
    history = history_of([proven, replica_set(0), inherited])
    keys = ("revision", "replicaSet", "images", "changeCause", "created", "verdict")
    assert [tuple(line[key] for key in keys) for line in history] == [
        (10, "shop-10", "shop:10", "shop 10 by CI", "2026-11-23T10:00:00Z", ""),
        (9, "shop-9", "shop:9", "", "2026-11-23T10:00:00Z", "proven"),
    ]
    assert json.loads(json.dumps(history)) == history


def test_the_history_is_bounded() -> None:
    """The newest twenty, and no cause of 256 KiB."""
    history = history_of([replica_set(number, cause="word " * 50_000) for number in range(1, 30)])
    assert [line["revision"] for line in history] == list(range(29, 9, -1))
    assert all(len(line["changeCause"]) == 200 for line in history)


@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        ("Release 1.2.3 (JIRA-12): don't wait", "Release 1.2.3 (JIRA-12): don't wait"),
        ("für 10 % mehr", "für 10 % mehr"),
        ("kubectl set env d/shop PGPASS=hunter two --record", "kubectl set env d/shop PGPASS=(rest not shown)"),
        ("the password is swordfish", "the (rest not shown)"),
        ("mysql -phunter -u root now", "mysql (not shown) (not shown) (not shown) now"),
        ("by a@example.com 8f14e45fceea167a", "by (not shown) (not shown)"),
        (f"got {JWT} there", "got (not shown) there"),
        (" two\nlines ", "two lines"),
    ],
)
def test_a_change_cause_is_scrubbed(cause: str, shown: str) -> None:
    """A command line that was recorded shows no secret; a sentence stays one."""
    [line] = history_of([replica_set(1, cause=cause)])
    assert line["changeCause"] == shown
