"""Grafana as the step sees it: the dashboard of the Deployment, and marks that are set once, each cluster's its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.adapters.conftest import EU, US, case_in
from tests.runbook.parts import NOW
from watcher.adapters import GrafanaDashboards
from watcher.adapters.grafana import BEFORE
from watcher.runbook.case import StepRecord
from watcher.sandbox.grafana import Grafana as StandIn
from watcher.systems.fault import Fault
from watcher.systems.grafana import Grafana

PATH = "d/abc/service?var-namespace=$namespace&var-deployment=$deployment"


@pytest.fixture
def dashboards(grafana: Grafana) -> GrafanaDashboards:
    """As the daemon makes it."""
    return GrafanaDashboards(grafana, "https://grafana.example/g", PATH)


def test_links_the_services_dashboard(dashboards: GrafanaDashboards, grafana_api: StandIn) -> None:
    """From before the rollout to the end that is given, or to now; no request is made for it."""
    case = case_in(US)
    since = round((case.rollout_started - BEFORE) * 1000)
    base = "https://grafana.example/g/d/abc/service?var-namespace=shop&var-deployment=checkout"
    assert dashboards.link(case, None) == f"{base}&from={since}&to=now"
    assert dashboards.link(case, NOW) == f"{base}&from={since}&to={round(NOW * 1000)}"
    assert grafana_api.requests == []


def test_the_deployments_own_dashboard_comes_first(dashboards: GrafanaDashboards) -> None:
    """An annotation on the Deployment names another one."""
    case = case_in(US).with_step("confirm", StepRecord("done", 1, result={"dashboard": "d/own/mine"}))
    assert dashboards.link(case, None).startswith("https://grafana.example/g/d/own/mine?from=")


def test_without_a_dashboard_there_is_no_link(grafana: Grafana) -> None:
    """Where neither the config nor the Deployment names one, the message links none."""
    assert GrafanaDashboards(grafana, "https://grafana.example", "").link(case_in(US), None) == ""


def test_an_annotation_that_is_no_url_is_passed_over(dashboards: GrafanaDashboards, grafana: Grafana) -> None:
    """Anybody may write there, and no message may be lost for it: the config's dashboard is linked, or none."""
    case = case_in(US).with_step("confirm", StepRecord("done", 1, result={"dashboard": "https://[x"}))
    assert dashboards.link(case, None) == dashboards.link(case_in(US), None)
    assert GrafanaDashboards(grafana, "https://grafana.example", "").link(case, None) == ""
    assert GrafanaDashboards(grafana, "https://grafana.example", "https://[y").link(case, None) == ""


@pytest.mark.parametrize("what", ["rollout", "rollback"])
def test_a_mark_is_set_once(dashboards: GrafanaDashboards, grafana_api: StandIn, what: str) -> None:
    """However often it is tried, and though the answer is lost, there is one annotation at the instant."""
    case = case_in(US)
    grafana_api.inject("hung-halfway", times=1, when=lambda request: request.method == "POST")
    with pytest.raises(Fault):
        dashboards.mark(case, what, f"{what} of shop/checkout", NOW)
    for _ in range(2):
        dashboards.mark(case, what, f"{what} of shop/checkout", NOW)
    [annotation] = grafana_api.annotations
    assert (annotation.time, annotation.text) == (round(NOW * 1000), f"{what} of shop/checkout")
    assert {"canary-watch", what, f"cluster:{US[0]}", f"region:{US[1]}"} <= set(annotation.tags)
    assert {"namespace:shop", "deployment:checkout"} <= set(annotation.tags)


def test_two_clusters_have_a_mark_each(dashboards: GrafanaDashboards, grafana_api: StandIn) -> None:
    """The same Deployment's rollback at the same moment is marked for either cluster, even where the UIDs are equal."""
    for place in (US, EU, US):
        dashboards.mark(case_in(place), "rollback", "rollback", NOW)
    assert len(grafana_api.annotations) == 2


def test_each_revision_has_a_mark(dashboards: GrafanaDashboards, grafana_api: StandIn) -> None:
    """Another rollback of the same Deployment within a minute isn't taken for the first one's."""
    for bad in (2, 4):
        dashboards.mark(replace(case_in(US), bad=bad), "rollback", "rollback", NOW)
    assert len(grafana_api.annotations) == 2


def test_long_names_are_kept(dashboards: GrafanaDashboards, grafana_api: StandIn) -> None:
    """The longest names that there are make tags that Grafana stores, and finds again."""
    case = replace(case_in(US), namespace="n" * 63, deployment="d" * 253, cluster="c" * 253, region="r" * 100)
    case = replace(case, uid="01234567-89ab-cdef-0123-456789abcdef", bad=1_000_000_000)
    for _ in range(2):
        dashboards.mark(case, "rollback", "rollback", NOW)
    assert len(grafana_api.annotations) == 1


def test_a_search_that_fails_marks_nothing(dashboards: GrafanaDashboards, grafana_api: StandIn) -> None:
    """While it can't be known whether the mark is there, none is set."""
    grafana_api.inject("500", times=1, when=lambda request: request.method == "GET")
    with pytest.raises(Fault):
        dashboards.mark(case_in(US), "rollback", "rollback", NOW)
    assert grafana_api.annotations == ()
