"""Loading policies from files and folders, and what comes out as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.policy_texts import RATIO, SMOKE, VALUE, changed
from watcher.policy.loading import load
from watcher.policy.model import Check, Labels, Policy, Ratio, SmokeJob, SmokeProbe, Threshold, Value

SHIPPED = Path(__file__).parents[2] / "policies"


def test_the_shipped_policies_are_the_runbooks_three_triggers() -> None:
    """The three shipped files load without a mistake and say what the runbook says."""
    policies, mistakes = load([SHIPPED])
    assert mistakes == ()
    error_rate, latency, smoke = (policy.checks[0] for policy in policies)
    assert error_rate.threshold == Threshold(0.01, "1%", "ratio")
    assert error_rate.control == "previous-revision"
    assert latency.threshold == Threshold(0.5, "500ms", "seconds", "canary-watch.io/slo-p99")
    assert latency.hold_for == 300
    assert smoke.kind == SmokeJob("canary-watch.io/smoke-test-for")
    assert {policy.watch_for for policy in policies} == {1800.0}


def test_a_policy_becomes_values(tmp_path: Path) -> None:
    """Everything that the file says is in the Policy, durations in seconds and shares as fractions."""
    text = changed(RATIO, "per: pod", "per: pod\n      labels: {pod: kubernetes_pod_name}")
    text = changed(text, "labels: {}", "labels: {tier: web}")
    (tmp_path / "a.yaml").write_text(changed(text, "watchFor: 30m", "watchFor: 1h30m\n  verifyWithin: 90.5s"))
    policies, mistakes = load([tmp_path / "a.yaml"])
    ratio = Ratio(
        bad='increase(errors_total{pod=~"$pod"}[1m])',
        total='increase(requests_total{pod=~"$pod"}[1m])',
        per_pod=True,
        labels=Labels(pod="kubernetes_pod_name"),
        least_total=100.0,
        least_bad=5.0,
    )
    check = Check("error-rate", ratio, Threshold(0.01, "1%", "ratio"), 60.0, "previous-revision")
    expected = Policy(
        "error-rate", str(tmp_path / "a.yaml"), ("*",), 5400.0, (check,), labels={"tier": "web"}, verify_within=90.5
    )
    assert (policies, mistakes) == ((expected,), ())


@pytest.mark.parametrize(
    ("above", "threshold"),
    [
        ("1.5s", Threshold(1.5, "1.5s", "seconds")),
        ("2m", Threshold(120.0, "2m", "seconds")),
        ("0.5%", Threshold(0.005, "0.5%", "ratio")),
        ("20", Threshold(20.0, "20", "number")),
        ("-1.5", Threshold(-1.5, "-1.5", "number")),
        ("{annotation: example.com/most}", Threshold(None, "", "number", "example.com/most")),
        ("{annotation: example.com/most, default: 30}", Threshold(30.0, "30", "number", "example.com/most")),
    ],
)
def test_thresholds_keep_their_unit(tmp_path: Path, above: str, threshold: Threshold) -> None:
    """A value's threshold is a time, a share or a number, fixed or from an annotation."""
    (tmp_path / "a.yaml").write_text(changed(VALUE, "above: 20", f"above: {above}"))
    policies, mistakes = load([tmp_path])
    assert mistakes == ()
    assert policies[0].checks[0].threshold == threshold
    assert isinstance(policies[0].checks[0].kind, Value)


def test_an_annotation_without_default_has_the_querys_unit(tmp_path: Path) -> None:
    """Where no default tells the unit, a query that reads seconds is compared with a time."""
    text = changed(VALUE, "queue_length", "latency_seconds_sum")
    (tmp_path / "a.yaml").write_text(changed(text, "above: 20", "above: {annotation: a/b}"))
    assert load([tmp_path])[0][0].checks[0].threshold == Threshold(None, "", "seconds", "a/b")


def test_a_probe_has_its_defaults(tmp_path: Path) -> None:
    """Three failures, status 200 and five seconds unless the policy says otherwise."""
    (tmp_path / "a.yaml").write_text(SMOKE)
    probe = SmokeProbe("http://$deployment.$namespace:8080/smoke", failures=3, status=200, timeout=5.0)
    assert load([tmp_path])[0][0].checks[0] == Check("smoke", probe)


def test_a_folder_gives_its_yaml_files_as_a_configmap_mounts_them(tmp_path: Path) -> None:
    """Links into `..data` are loaded once each; dot files, other names and folders are passed over."""
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (tmp_path / "..data").symlink_to(data)
    for name, text in (("a.yaml", RATIO), ("b.yml", VALUE), ("README.md", "not a policy")):
        (data / name).write_text(text)
        (tmp_path / name).symlink_to(Path("..data") / name)
    (tmp_path / ".hidden.yaml").write_text("[")
    (tmp_path / "c.yaml").mkdir()
    policies, mistakes = load([tmp_path, tmp_path / "a.yaml"])
    assert mistakes == ()
    assert [policy.source for policy in policies] == [str(tmp_path / "a.yaml"), str(tmp_path / "b.yml")]


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    """A mount that went wrong must not look like a daemon with nothing to do."""
    assert [str(mistake) for mistake in load([tmp_path])[1]] == [
        f"{tmp_path}:1:1: the folder holds no policy: no *.yaml or *.yml"
    ]


def test_a_policys_name_is_unique_over_all_files(tmp_path: Path) -> None:
    """The later file's name is the mistake, and the earlier policy stands."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(RATIO)
    policies, mistakes = load([tmp_path])
    assert [policy.source for policy in policies] == [str(tmp_path / "a.yaml")]
    said = f"name: error-rate is the name of {tmp_path / 'a.yaml'} already; names are unique over all policies"
    assert [str(mistake) for mistake in mistakes] == [f"{tmp_path / 'b.yaml'}:3:18: {said}"]


def test_one_bad_file_leaves_the_others(tmp_path: Path) -> None:
    """Mistakes come from every file, and the sound ones are loaded."""
    (tmp_path / "a.yaml").write_text(changed(RATIO, "1%", "1"))
    (tmp_path / "b.yaml").write_text(VALUE)
    (tmp_path / "c.yaml").write_text(changed(SMOKE, "30m", "30"))
    policies, mistakes = load([tmp_path])
    assert [policy.name for policy in policies] == ["latency"]
    assert [Path(mistake.file).name for mistake in mistakes] == ["a.yaml", "c.yaml"]
