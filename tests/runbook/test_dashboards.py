"""The link that people click: the right service, at the right time, and a sound URL whatever the names hold."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.runbook.dashboards import dashboard_link

PATH = "/d/svc/service?var-namespace=$namespace&var-deployment=$deployment"
SUBJECT = ("shop", "checkout")
RANGE = "from=1700000000000&to=1700000060500"


@pytest.mark.parametrize(
    ("base", "path", "link"),
    [
        (
            "https://grafana.example.com",
            PATH,
            f"https://grafana.example.com/d/svc/service?var-namespace=shop&var-deployment=checkout&{RANGE}",
        ),
        (
            "https://example.com/grafana/",
            "d/svc",
            f"https://example.com/grafana/d/svc?{RANGE}",
        ),
        (
            "https://grafana.example.com",
            "https://other.example.com/d/svc?orgId=2&from=now-1h&to=now&var-ns=${namespace}#top",
            f"https://other.example.com/d/svc?orgId=2&var-ns=shop&{RANGE}#top",
        ),
        (
            "https://grafana.example.com",
            "/d/svc/$deployment?var-x=$namespaces",
            f"https://grafana.example.com/d/svc/checkout?var-x=$namespaces&{RANGE}",
        ),
    ],
    ids=["root", "sub-path", "whole address", "only whole variables"],
)
def test_a_link_for_each_way_to_name_a_dashboard(base: str, path: str, link: str) -> None:
    """Base and path are joined, the variables filled in, and the time range is the case's."""
    assert dashboard_link(base, path, SUBJECT, 1_700_000_000, 1_700_000_060.5) == link


def test_what_goes_on_ends_now() -> None:
    """Without an end the dashboard keeps up with the present."""
    assert (
        dashboard_link("https://g.example.com", "/d/a", SUBJECT, 1, None)
        == "https://g.example.com/d/a?from=1000&to=now"
    )


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_no_name_can_break_out_of_its_variable(namespace: str, deployment: str) -> None:
    """Whatever a name holds, the link's host, path and parameters stay those that were configured."""
    link = urlsplit(dashboard_link("https://g.example.com/sub", PATH, (namespace, deployment), 1, 2))
    assert (link.scheme, link.netloc, link.path, link.fragment) == ("https", "g.example.com", "/sub/d/svc/service", "")
    assert parse_qs(link.query, keep_blank_values=True) == {
        "var-namespace": [namespace],
        "var-deployment": [deployment],
        "from": ["1000"],
        "to": ["2000"],
    }
