"""The files that a stage gives its daemon: policies with times in seconds, the config, the secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUTING_KEY = "r" * 32
API_TOKEN = "pagerduty-api-token"
SLACK_TOKEN = "xoxb-slack-token"
JIRA_TOKEN = "jira-api-token"
GRAFANA_TOKEN = "glsa_grafana-token"
DATABASE_KEY = "d" * 32
USER = "watch@example.com"

SECRETS = {
    "routing-key": ROUTING_KEY,
    "api-token": API_TOKEN,
    "slack-token": SLACK_TOKEN,
    "jira-email": USER,
    "jira-token": JIRA_TOKEN,
    "grafana-token": GRAFANA_TOKEN,
    "database-key": DATABASE_KEY,
}

POLICIES = {
    "error-rate": """\
      - name: error-rate
        ratio:
          bad: increase(http_requests_total{namespace=~"$namespace", pod=~"$pod", code=~"5.."}[5s])
          total: increase(http_requests_total{namespace=~"$namespace", pod=~"$pod"}[5s])
          per: pod
        above: 1%
        for: 3s
        atLeast: {total: 10, bad: 1}
        control: previous-revision
""",
    "latency-p99": """\
      - name: latency-p99
        value: >-
          histogram_quantile(0.99, sum by (namespace, deployment, le) (rate(
          http_request_duration_seconds_bucket{namespace=~"$namespace", deployment=~"$deployment"}[5s])))
        above: {annotation: canary-watch.io/slo-p99, default: 500ms}
        for: 3s
""",
    "smoke-tests": """\
      - name: smoke-tests
        smokeTest: {job: {label: canary-watch.io/smoke-test-for}}
""",
    "smoke-probe": """\
      - name: smoke-probe
        smokeTest: {http: {url: "http://ADDRESS/smoke", failures: 3, timeout: 1s}}
""",
}


@dataclass(frozen=True)
class Addresses:
    """Where the outside systems of a stage are."""

    namespace: str
    prometheus: str
    pagerduty: str
    slack: str
    jira: str
    grafana: str
    pods: str


def write_policy(folder: Path, name: str, keys: Mapping[str, str], pods: str) -> None:
    """Write one policy; `keys` are its `watchFor` and the like, `pods` where the pods answer (`host:port`)."""
    spec = "".join(f"  {key}: {value}\n" for key, value in keys.items())
    head = f"apiVersion: canary-watch/v1\nkind: RollbackPolicy\nmetadata: {{name: {name}}}\nspec:\n"
    checks = POLICIES[name].replace("ADDRESS", pods)
    (folder / f"{name}.yaml").write_text(f"{head}  match: {{namespaces: ['*']}}\n{spec}  checks:\n{checks}")


def write_config(folder: Path, at: Addresses, settings: Mapping[str, Any]) -> None:
    """Write the config and the secrets that it names; `settings` go before what is usual, a section key by key."""
    for name, text in SECRETS.items():
        (folder / name).write_text(f"{text}\n")
    config: dict[str, Any] = {
        "cluster": {"name": "test-cluster", "region": "us-east-1"},
        "policies": "policies",
        "interval": "1s",
        "namespaces": [at.namespace],
        "prometheus": {"url": at.prometheus, "timeout": "2s"},
        "pagerduty": {
            "routingKeyFile": "routing-key",
            "apiTokenFile": "api-token",
            "eventsUrl": at.pagerduty,
            "apiUrl": at.pagerduty,
            "fromEmail": USER,
        },
        "slack": {"tokenFile": "slack-token", "channel": "#deploy", "apiUrl": f"{at.slack}/api/"},
        "jira": {"url": at.jira, "emailFile": "jira-email", "tokenFile": "jira-token", "project": "OPS"},
        "grafana": {"url": at.grafana, "tokenFile": "grafana-token", "dashboard": "/d/shop?var-deployment=$deployment"},
        "contacts": {
            "sre-oncall": {"slack": "S0123ABCD"},
            "platform-lead": {"slack": "U0789IJKL"},
            "database-team": {"slack": "S0456EFGH", "routingKeyFile": "database-key"},
            "incident-commander": {"slack": "U0COMMAND"},
        },
        "lease": {"duration": "3s"},
    }
    for name, section in settings.items():
        usual = config.get(name)
        config[name] = {**usual, **section} if isinstance(usual, dict) and isinstance(section, dict) else section
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))
