"""What a rollback leaves at each outside system when it has come through, each of it once."""

from __future__ import annotations

from collections.abc import Iterable

from tests.scenarios.stage import Stage
from watcher.sandbox.pagerduty import Incident

# What each rollback's thread tells, beside a plan and a ticket's comment where there are such.
TOLD = ("confirm", "revert", "page", "verify", "impact", "postmortem", "review", "report")


def done_once(stage: Stage, name: str, where: str, told: Iterable[str] = ()) -> None:
    """What a rollback leaves at Kubernetes, Slack, Jira and Grafana, once each. `told` are more of its replies."""
    deployment = stage.deployment(name)["metadata"]["annotations"]
    back = (stage.image(name), deployment["deployment.kubernetes.io/revision"])
    assert back == ("good:1", "3"), f"{where}: one revert"
    [message] = [m for m in stage.slack.top if f"`{name}`" in m.text]
    assert "Verified" in message.text, where
    keys = [reply.metadata["event_payload"]["key"] for reply in stage.thread(message)]
    assert sorted(key.split("/")[-3] for key in keys) == sorted((*TOLD, *told)), f"{where}: each reply once, not {keys}"
    marks = [mark.tags[1] for mark in stage.grafana.annotations if f"deployment:{name}" in mark.tags]
    assert sorted(marks) == ["rollback", "rollout"], f"{where}: each mark once"
    comments = [comment for issue in stage.jira.issues if issue.summary == f"Ship {name}" for comment in issue.comments]
    assert len(comments) == ("ticket" in told), f"{where}: one comment"
    [case] = [case for case in stage.cases() if case["deployment"] == name]
    bad = stage.http.get(f"/apis/apps/v1/namespaces/{stage.namespace}/replicasets/{case['bad_replica_set']}")
    assert bad["metadata"]["annotations"]["canary-watch.io/verdict"] == "condemned", where


def filed_once(stage: Stage, name: str, where: str) -> None:
    """The postmortem is in Jira with the chart, the chart and the invitation are in the thread, each of it once."""
    [filed] = [issue for issue in stage.jira.issues if f"/{name} " in issue.summary]
    assert [file for file, _ in filed.files] == [f for f in files_of(stage, name) if f.endswith(".png")], where
    assert [file.rpartition(".")[2] for file in files_of(stage, name)] == ["png", "ics"], f"{where}: each file once"


def files_of(stage: Stage, name: str) -> list[str]:
    """The names of the files about a Deployment, those that its thread has: the chart first, then others."""
    [message] = [m for m in stage.slack.top if f"`{name}`" in m.text]
    found = [file.name for file in stage.slack.files if file.thread_ts == message.ts]
    assert all(name in file for file in found)
    return sorted(found, key=lambda file: (not file.endswith(".png"), file))


def incidents_of(stage: Stage, name: str) -> list[Incident]:
    """The incidents that the daemon opened for a Deployment."""
    return [incident for incident in stage.pagerduty.incidents if f"/{name}/" in incident.dedup_key]


def paged_once(stage: Stage, name: str, where: str) -> None:
    """One incident, resolved, with one note."""
    assert [i.status for i in incidents_of(stage, name)] == ["resolved"], f"{where}: one incident, resolved"
    assert len(incidents_of(stage, name)[0].notes) == 1, f"{where}: one note"
