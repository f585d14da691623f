"""Two clusters with a daemon each, which share Slack, PagerDuty, Jira and Grafana: what is whose never mixes.

Two real control planes, each with a Prometheus of its own; the Deployment's namespace and name are the same on both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.real import RealCluster, assets_folder
from tests.scenarios.conftest import SCRAPE_INTERVAL, MakeStage
from tests.scenarios.gate import Gate
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from tests.scenarios.traffic import Traffic
from tests.scenarios.vendors import Vendors
from watcher.sandbox import adf
from watcher.sandbox.pagerduty import Account
from watcher.sandbox.prometheus import PrometheusServer, Target, find_programs

REGIONS = ("us-east-1", "eu-west-1")
SHOP = "clusters"


@pytest.fixture
def elsewhere(real_cluster: RealCluster) -> Iterator[dict[str, Any]]:
    """What a stage in the other cluster has otherwise: a control plane, a Prometheus, and the metrics of its pods."""
    assets = assets_folder()
    assert assets is not None, "the first one runs from them"
    with ExitStack() as stack:
        cluster = stack.enter_context(RealCluster(assets))
        server = stack.enter_context(PrometheusServer(find_programs(), SCRAPE_INTERVAL))
        traffic = stack.enter_context(Traffic())
        server.set_targets([Target(traffic.address)])
        yield {"cluster": cluster, "prometheus": stack.enter_context(Gate(server.url)), "traffic": traffic}


@pytest.fixture
def stages(elsewhere: dict[str, Any], make_stage: MakeStage, tmp_path: Path) -> dict[str, Stage]:
    """A stage for each region, with the same vendors, namespaces and names; the same release is bad on both."""
    vendors, made = Vendors(Account()), {}
    for region, more in zip(REGIONS, ({}, elsewhere), strict=True):
        folder = tmp_path / region
        folder.mkdir()
        settings = {"cluster": {"name": f"shopwave-prod-{region}", "region": region}}
        wishes = {"policies": ("error-rate",), "vendors": vendors, "name": SHOP, "settings": settings}
        made[region] = make_stage(folder=folder, **wishes, **more)
        made[region].traffic.set_behaviour("good:1", GOOD)
        made[region].traffic.set_behaviour("bad:2", BAD)
    return made


def other(region: str) -> str:
    """The other one."""
    return REGIONS[1 - REGIONS.index(region)]


def names_only(text: str, region: str) -> None:
    """A text that people or vendors get names its own cluster and region, and never the other's."""
    assert f"shopwave-prod-{region}" in text
    assert region in text.replace(f"shopwave-prod-{region}", "")
    assert other(region) not in text


@pytest.mark.timeout(240)
def test_nothing_mixes(stages: dict[str, Stage]) -> None:
    """The same release fails on both at once: two cases, incidents, threads, tickets and marks, each with its place."""
    tickets = {}
    for region, stage in stages.items():
        tickets[region] = stage.jira.add("OPS", f"Release 2 in {region}").key
        stage.ship("good:1", annotations={"canary-watch.io/ticket": tickets[region]})
        stage.start()
    for stage in stages.values():
        stage.set_image("bad:2")
    cases = {region: stage.closed("verified")[0] for region, stage in stages.items()}
    vendors = stages[REGIONS[0]].vendors
    assert len(vendors.pagerduty.incidents) == len(vendors.slack.top) == 2
    assert (len(vendors.jira.issues), len(vendors.grafana.annotations)) == (4, 4)
    for region, stage in stages.items():
        case = cases[region]
        assert case["id"].startswith(f"shopwave-prod-{region}/{region}/shop-{SHOP}/checkout/r2-")
        assert (stage.image(), len(stage.cases()), stage.patches()) == ("good:1", 1, 1)
        paged(vendors, region, case)
        posted(vendors, region, case)
        filed(vendors, region, case, tickets[region])
        marks = [mark for mark in vendors.grafana.annotations if f"region:{region}" in mark.tags]
        assert len(marks) == 2
        for mark in marks:
            names_only(f"{mark.text} {' '.join(mark.tags)}", region)
    assert vendors.violations == []


def paged(vendors: Vendors, region: str, case: dict[str, Any]) -> None:
    """One incident by the case's key, resolved, that speaks of this cluster alone."""
    [incident] = [one for one in vendors.pagerduty.incidents if one.dedup_key == case["id"]]
    assert incident.status == "resolved"
    assert incident.events[0]["payload"]["source"] == f"shopwave-prod-{region}"
    names_only(incident.summary, region)
    names_only(json.dumps([incident.events, incident.alerts[0].details, incident.notes]), region)
    for note in incident.notes:
        names_only(note, region)


def posted(vendors: Vendors, region: str, case: dict[str, Any]) -> None:
    """One message with its thread and its files, each of which names this cluster and region alone."""
    [message] = [one for one in vendors.slack.top if f"in `{region}`" in one.text]
    assert case["id"] in json.dumps(message.metadata)
    thread = [one for one in vendors.slack.messages if one.thread_ts == message.ts]
    assert len(thread) > 4
    for one in (message, *thread):
        assert case["id"] in json.dumps(one.metadata), "the key by which it is found again"
        for text in (one.text, *one.edits):
            names_only(text, region)
    attached = [file for file in vendors.slack.files if file.thread_ts == message.ts]
    assert sorted(file.name.rpartition(".")[2] for file in attached) == ["ics", "png"]
    assert len({file.name for file in vendors.slack.files}) == len(vendors.slack.files) == 4


def filed(vendors: Vendors, region: str, case: dict[str, Any], ticket: str) -> None:
    """A postmortem of its own, found by a label of its own, and a comment on this region's ticket alone."""
    [postmortem] = [one for one in vendors.jira.issues if region in one.summary and "postmortem" in one.labels]
    labels: list[set[str]] = [set(one.labels) for one in vendors.jira.issues if "postmortem" in one.labels]
    assert len(labels[0] ^ labels[1]) == 2, "one each by which it is found again"
    names_only(postmortem.summary, region)
    names_only(adf.text_of(dict(postmortem.description or {})), region)
    commented = vendors.jira.issue(ticket)
    assert commented is not None
    [comment] = commented.comments
    names_only(adf.text_of(dict(comment)), region)
    assert case["id"] in adf.text_of(dict(comment))
