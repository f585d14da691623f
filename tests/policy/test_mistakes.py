"""Bad policy files: where each mistake is placed, and the words that tell what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.policy_texts import RATIO, SMOKE, VALUE, changed, mistakes_of

# A sound policy, what is replaced in it by what; where the mistake begins, and words of it.
Row = tuple[str, str, str, str, str]

FORMAT: list[Row] = [
    (RATIO, "canary-watch/v1", "canary-watch/v2", "1:13: apiVersion", "write 'canary-watch/v1'"),
    (RATIO, "kind: RollbackPolicy\n", "", "1:1: kind is missing", "kind: RollbackPolicy"),
    (RATIO, "watchFor:", "watchfor:", "6:3: watchfor is not a key here", "did you mean watchFor?"),
    (RATIO, "  watchFor: 30m\n", "", "5:3: watchFor is missing", "watchFor: 30m"),
    (RATIO, "atLeast:", "at_least:", "15:5: at_least", "did you mean atLeast?"),
    (RATIO, "{name: error-rate}", "{name: on}", "3:18: name: on is true to YAML", 'write "on" in quotes'),
    (RATIO, "{name: error-rate}", "{name: Error_Rate}", "3:18: name", "a-z, 0-9 and dashes"),
    (RATIO, "labels: {}", "labels: {tier: 1.10}", "5:45: tier: 1.10 is a number", 'write "1.10" in quotes'),
    (RATIO, "labels: {}", "labels: {a b: c}", "5:39: ", "not a Kubernetes key"),
    (RATIO, '["*"]', '["team-*"]', "5:24: namespaces[0]", '"*" alone'),
    (RATIO, '["*"]', "[]", "5:23: namespaces is empty", "at least one"),
    (RATIO, '["*"]', '"*"', "5:23: namespaces is text", "a list is meant"),
    (RATIO, "30m", "12:30", "6:13: watchFor: 750 has no unit", "YAML reads 12:30 as 750"),
    (RATIO, "30m", "30", "6:13: watchFor: 30 has no unit", "write 30s, 30m or 30h"),
    (RATIO, "30m", "30 min", "6:13: watchFor", "like 1h30m"),
    (RATIO, "30m", ".inf", "6:13: watchFor", "has no unit"),
    (RATIO, "30m", "0s", "6:13: watchFor", "no time at all"),
    (RATIO, "for: 1m", "for: 30m", "14:10: for: 30m never ends within watchFor: 30m", "write less"),
    (RATIO, "    above: 1%\n", "", "8:5: above is missing", "above: 1%"),
    (RATIO, "above: 1%", "above:", "13:11: above is empty", "write a value"),
    (RATIO, "above: 1%", "above: 0.01", "13:12: above: 0.01 has no unit", "write 1%"),
    (RATIO, "above: 1%", 'above: "2"', "13:12: above: 2 has no unit", "write 2%"),
    (RATIO, "above: 1%", "above: 500ms", "13:12: above: 500ms is a time", "like 1%"),
    (RATIO, "above: 1%", "above: 100%", "13:12: above: no ratio is above 100%", "less than 100%"),
    (RATIO, "above: 1%", "above: .nan", "13:12: above: nan is not a finite number", "YAML reads .nan"),
    (RATIO, "above: 1%", "above: -.inf", "13:12: above: -inf is not a finite number", "YAML reads -.inf"),
    (RATIO, "above: 1%", "above: on", "13:12: above: true is not a threshold", "1%"),
    (RATIO, "above: 1%", "above: {anotation: x}", "13:13: anotation", "did you mean annotation?"),
    (RATIO, "above: 1%", "above: {annotation: x, default: 0.01}", "13:37: default: 0.01 has no unit", "write 1%"),
    (RATIO, "per: pod", "per: node", '12:12: per: "node"', "write 'pod'"),
    (RATIO, "bad: 5}", "bad: -5}", "15:32: bad must be at least 0", ""),
    (RATIO, "bad: 5}", "bad: .inf}", "15:32: bad must be a finite number", ""),
    (RATIO, "total: 100,", 'total: "100",', "15:22: total: 100 is not a count", "without quotes"),
    (RATIO, "      per: pod\n", "", "15:14: control", "write per: pod"),
    (RATIO, "control: previous-revision", "control: canary", "16:14: control", "'none' or 'previous-revision'"),
    (
        RATIO,
        "per: pod",
        "per: pod\n      labels: {pod: a}\n    labels: {pod: b}",
        "14:5: labels",
        "keep one of the two",
    ),
    (RATIO, "- name: error-rate", "- 7\n  - name: error-rate", "8:5: checks[0] is a number", "a mapping is meant"),
    (VALUE, "    for: 5m", "    atLeast: {total: 1}", "11:5: atLeast", "counts belong to a ratio"),
    (VALUE, "    for: 5m", "    control: previous-revision", "11:14: control", "ask for a ratio"),
    (VALUE, "    for: 5m", "    smokeTest: {job: {}}", "11:5: smokeTest", "a check of its own"),
    (VALUE, "    value: ", "    valeu: ", "8:5: the check has no question", "one of ratio, value and smokeTest"),
    (VALUE, "queue_length", "latency_seconds_sum", "10:12: above: 20 has no unit", "write 20s"),
    (VALUE, "    for: 5m", "  - name: latency\n    smokeTest: {job: {}}", "11:11: name: latency is taken", "unique"),
    (SMOKE, "{http: {", "{job: {}, http: {", "9:16: smokeTest", "exactly one of job and http"),
    (SMOKE, "/smoke", "/$pod", "9:29: url", "$namespace and $deployment"),
    (SMOKE, "http://$", "ftp://$", "9:29: url is not a URL", "http://"),
    (SMOKE, "http://", "http://me:hunter2@", "9:29: url: holds credentials", ""),
    (SMOKE, '/smoke"', '/smoke", failures: 0', "9:83: failures must be at least 1", ""),
    (SMOKE, '/smoke"', '/smoke", timeout: 5', "9:82: timeout: 5 has no unit", "write 5s"),
    (SMOKE, '/smoke"}}', '/smoke"}}\n    above: 1%', "10:5: above: means nothing for a smokeTest", "leave it out"),
]


@pytest.mark.parametrize("row", FORMAT, ids=lambda row: row[3])
def test_a_mistake_is_placed_and_says_what_would_be_right(tmp_path: Path, row: Row) -> None:
    """Each broken key gives a mistake at its own line and column, with the words that put it right."""
    text, old, new, place, words = row
    found = mistakes_of(tmp_path, changed(text, old, new))
    assert [said for said in found if said.startswith(place) and words in said], found


QUERIES: list[Row] = [
    (RATIO, 'errors_total{pod=~"$pod"}', 'errors_total{pod="$pod"}', "10:39: bad: $pod", 'pod=~"$pod"'),
    (RATIO, 'errors_total{pod=~"$pod"}', "errors_total{pod=~$pod}", "10:39: bad: $pod must stand in quotes", ""),
    (RATIO, 'errors_total{pod=~"$pod"}', 'errors_total{pod=~"${pod}"}', "10:40: bad: write $pod", "without braces"),
    (RATIO, 'errors_total{pod=~"$pod"}', 'errors_total{pod=~"$pods"}', "10:40: bad: $pods is not known", "$namespace"),
    (RATIO, 'errors_total{pod=~"$pod"}', "errors_total", "10:12: bad: per: pod", 'write pod=~"$pod"'),
    (RATIO, 'errors_total{pod=~"$pod"}', 'errors_total{pod!~"$pod"}', "10:12: bad: per: pod", 'write pod=~"$pod"'),
    (
        RATIO,
        'increase(errors_total{pod=~"$pod"}[1m])',
        'nope(x{pod=~"$pod"})',
        "10:12: bad: PromQL",
        "promqlCheck: off",
    ),
    (RATIO, 'errors_total{pod=~"$pod"}[1m])', 'e{pod=~"$pod"}[1m]', "10:20: bad: PromQL: unclosed", ""),
    (RATIO, 'errors_total{pod=~"$pod"}[1m]', 'e{pod=~"$pod"}[$__interval]', "10:36: bad: $__interval", "like [1m]"),
    (RATIO, "bad: increase(", "bad: sum(", "10:12: bad: PromQL", "expected type vector"),
    (RATIO, "bad: increase(errors_total", "bad: sum by (pod) (errors_total", "10:12: bad: PromQL", ""),
    (VALUE, "by (namespace, deployment)", "by (le)", "9:12: value: PromQL", "carry namespace and deployment"),
    (VALUE, "by (namespace, deployment)", "by (namespace)", "9:12: value: PromQL", "carry deployment"),
    (VALUE, "by (namespace, deployment)", "without (deployment)", "9:12: value: PromQL", "carry deployment"),
    (VALUE, "by (namespace, deployment) ", "", "9:12: value: PromQL", "carry namespace and deployment"),
    (VALUE, '{deployment=~"$deployment"}', "", "9:12: value: the query would read the whole Prometheus", ""),
    (
        VALUE,
        'max by (namespace, deployment) (queue_length{deployment=~"$deployment"})',
        "20",
        "9:12: value: 20 is a number to YAML",
        "",
    ),
    (VALUE, 'max by (namespace, deployment) (queue_length{deployment=~"$deployment"})', "time()", "9:12: ", "a scalar"),
    (VALUE, '"$deployment"}', '"$deployment"} offset inf', "9:12: value: PromQL: cannot convert", "promqlCheck: off"),
    (VALUE, 'deployment=~"$deployment"})', 'deployment=~"$deployment"}[5m])', "9:12: value: PromQL", "got matrix"),
]


@pytest.mark.parametrize("row", QUERIES, ids=lambda row: row[3])
def test_a_query_is_checked_offline_to_the_column(tmp_path: Path, row: Row) -> None:
    """A flaw in PromQL is placed at the character it concerns, or at the query's start where that isn't known."""
    text, old, new, place, words = row
    found = mistakes_of(tmp_path, changed(text, old, new))
    assert [said for said in found if said.startswith(place) and words in said], found


@pytest.mark.parametrize(
    ("style", "place"),
    [
        ('|\n      max by (namespace, deployment) (\n        up{pod="$pod"}\n      )', "11:17"),
        ('>-\n      max by (namespace, deployment) (\n\n        up{pod="$pod"}\n      )', "12:17"),
        ('max by (namespace, deployment) (\n        up{pod="$pod"})', "10:17"),
        ("'max by (namespace, deployment) (\n        up{pod=\"$pod\"})'", "10:17"),
        ("\"max by (namespace, deployment) (up{pod='$pod'})\"", "9:53"),
        ('"max by (namespace, deployment) (up{pod=\\"$pod\\"})"', "9:12"),
    ],
)
def test_the_column_within_a_query_is_exact_in_every_style(tmp_path: Path, style: str, place: str) -> None:
    """A flaw inside a query is placed in literal, folded, plain and quoted scalars; with escapes, at the start."""
    query = 'max by (namespace, deployment) (queue_length{deployment=~"$deployment"})'
    found = mistakes_of(tmp_path, changed(VALUE, query, style))
    assert [said for said in found if said.startswith(f"{place}: value: $pod stands for many names")], found


def test_the_parsers_verdict_can_be_overridden(tmp_path: Path) -> None:
    """With promqlCheck: off a function that the parser doesn't know is no mistake; a wrong variable still is."""
    query = 'max by (namespace, deployment) (queue_length{deployment=~"$deployment"})'
    newer = changed(VALUE, query, 'holt_winters(queue_length{deployment=~"$deployment"}[5m], 0.5, 0.5)')
    assert "unknown function with name 'holt_winters'" in mistakes_of(tmp_path, newer)[0]
    for off in ("off", '"off"', "no", "false"):
        assert mistakes_of(tmp_path, f"{newer}    promqlCheck: {off}\n") == []
    wrong = mistakes_of(tmp_path, changed(newer, "$deployment", "$deploy") + "    promqlCheck: off\n")
    assert len(wrong) == 1
    assert "$deploy is not known" in wrong[0]


def test_a_query_too_long_for_the_parser_is_refused_not_parsed(tmp_path: Path) -> None:
    """A query whose nesting would overflow the parser's stack is a mistake, not the end of the process."""
    query = 'max by (namespace, deployment) (queue_length{deployment=~"$deployment"})'
    deep = "(" * 50_000 + query + ")" * 50_000
    assert "more than 4000 characters" in mistakes_of(tmp_path, changed(VALUE, query, f"{deep}"))[0]


def test_labels_that_are_called_otherwise_may_stand_in_the_query(tmp_path: Path) -> None:
    """An aggregation by the labels named under `labels` keeps what tells the Deployments apart."""
    query = changed(VALUE, "by (namespace, deployment)", "by (ns, workload)")
    assert "carry namespace and deployment" in mistakes_of(tmp_path, query)[0]
    assert mistakes_of(tmp_path, query + "    labels: {namespace: ns, deployment: workload}\n") == []


def test_a_threshold_in_seconds_does_not_fit_a_metric_in_milliseconds(tmp_path: Path) -> None:
    """A time is compared in seconds, so that a query in milliseconds must be divided by 1000."""
    query = changed(changed(VALUE, "queue_length", "istio_request_duration_milliseconds_sum"), "20", "500ms")
    assert "divide the query by 1000" in mistakes_of(tmp_path, query)[0]
    assert mistakes_of(tmp_path, changed(query, '"})', '"}) / 1000')) == []


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    """A wrong type, a wrong unit, an unknown key, a bad query and a duplicate key are told together, in their order."""
    text = changed(RATIO, "above: 1%", "above: 0.01\n    abvoe: 1%")
    text = changed(text, "watchFor: 30m", "watchFor: 30m\n  watchFor: 1h")
    text = changed(text, "bad: increase(", "bad: incraese(")
    text = changed(text, "kind: RollbackPolicy", "kind: Rollback")
    found = mistakes_of(tmp_path, text)
    assert [said.split(" ")[0] for said in found] == ["2:7:", "7:3:", "11:12:", "14:12:", "15:5:"]
