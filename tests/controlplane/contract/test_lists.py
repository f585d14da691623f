"""LIST: paging through a consistent state, selectors, and tokens that have expired."""

from __future__ import annotations

import pytest

from tests.controlplane.bed import Bed
from tests.controlplane.http import Json, until
from tests.controlplane.manifests import config_map, deployment

NAMES = ["a", "b", "c", "d", "e"]


def names(listed: Json) -> list[str]:
    """The names of a list's items that a test created."""
    found = [item["metadata"]["name"] for item in listed["items"]]
    return [name for name in found if name != "kube-root-ca.crt"]  # newer control planes put one into each namespace


def create_some(bed: Bed) -> None:
    """Create Leases a to e; each is labelled with its name and, from c on, with `late`."""
    for name in NAMES:
        labels = {"name": name, **({"late": "yes"} if name > "b" else {})}
        bed.http.create(bed.path("leases"), {"metadata": {"name": name, "labels": labels}})


def test_pages_show_the_state_of_the_first_page(bed: Bed) -> None:
    """Pages of `limit` items chained by `continue` give one consistent state, whatever is written between them."""
    create_some(bed)
    page = bed.http.get(bed.path("leases", limit="2"))
    version, seen = page["metadata"]["resourceVersion"], names(page)
    assert page["metadata"]["remainingItemCount"] == 3
    bed.http.create(bed.path("leases"), {"metadata": {"name": "bb"}})
    bed.http.request("DELETE", bed.path("leases", "e"))
    while token := page["metadata"].get("continue"):
        page = bed.http.get(bed.path("leases", limit="2", **{"continue": token}))
        assert page["metadata"]["resourceVersion"] == version
        assert len(page["items"]) <= 2
        seen += names(page)
    assert seen == NAMES
    assert names(bed.http.get(bed.path("leases"))) == ["a", "b", "bb", "c", "d"]


def test_a_continue_token_expires(bed: Bed) -> None:
    """After a compaction `continue` answers 410 Expired, with a token that goes on from there in the present state."""
    create_some(bed)
    token = bed.http.get(bed.path("leases", limit="2"))["metadata"]["continue"]
    bed.http.create(bed.path("leases"), {"metadata": {"name": "cc"}})
    bed.cluster.compact()
    answer = bed.http.request("GET", bed.path("leases", **{"continue": token}))
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    going_on = answer.json()["metadata"]["continue"]
    assert names(bed.http.get(bed.path("leases", **{"continue": going_on}))) == ["c", "cc", "d", "e"]


@pytest.mark.parametrize("query", [{"continue": "nonsense"}, {"limit": "many"}, {"labelSelector": "a==="}])
def test_parameters_that_cannot_be_read_are_refused(bed: Bed, query: dict[str, str]) -> None:
    """A `continue`, `limit` or selector that can't be read answers 400 BadRequest."""
    answer = bed.http.request("GET", bed.path("leases", **query))
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("name=a", ["a"]),
        ("name==a,late!=yes", ["a"]),
        ("late", ["c", "d", "e"]),
        ("!late", ["a", "b"]),
        ("name in (a, c),late=yes", ["c"]),
        ("name notin (a,b,c)", ["d", "e"]),
        ("none=such", []),
    ],
)
def test_label_selectors(bed: Bed, selector: str, expected: list[str]) -> None:
    """Every form of label selector picks what it says."""
    create_some(bed)
    assert names(bed.http.get(bed.path("leases", labelSelector=selector))) == expected


def test_field_selectors(bed: Bed) -> None:
    """Field selectors pick by name, namespace and a pod's phase; a field without selector answers 400."""
    create_some(bed)
    assert names(bed.http.get(bed.path("leases", fieldSelector="metadata.name=b"))) == ["b"]
    everywhere = bed.path("leases", fieldSelector=f"metadata.namespace={bed.namespace},metadata.name!=a")
    everywhere = everywhere.replace(f"/namespaces/{bed.namespace}", "")
    assert names(bed.http.get(everywhere)) == NAMES[1:]
    assert bed.http.request("GET", bed.path("leases", fieldSelector="spec.holder=a")).status_code == 400
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    bed.settled("shop")
    assert len(bed.items("pods", fieldSelector=f"status.phase=Running,spec.nodeName={bed.node.name}")) == 2
    assert bed.items("pods", fieldSelector="status.phase=Pending") == []


def test_pages_of_a_selection_do_not_count_the_rest(bed: Bed) -> None:
    """With a selector, a page has a `continue` token and no remainingItemCount."""
    create_some(bed)
    page = bed.http.get(bed.path("leases", labelSelector="late=yes", limit="2"))
    assert names(page) == ["c", "d"]
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


def test_lists_name_their_kind_once(bed: Bed) -> None:
    """A list says its kind; its items don't repeat theirs. A namespace that doesn't exist lists nothing."""
    bed.http.create(bed.path("configmaps"), config_map("one"))
    listed = bed.http.get(bed.path("configmaps"))
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item for item in listed["items"])
    assert bed.http.get("/api/v1/namespaces/nowhere/configmaps")["items"] == []


def test_a_collection_can_be_deleted_by_selector(bed: Bed) -> None:
    """DELETE on a collection with a selector removes what it picks and nothing else."""
    create_some(bed)
    assert bed.http.request("DELETE", bed.path("leases", labelSelector="late")).status_code == 200
    until(lambda: names(bed.http.get(bed.path("leases"))) == ["a", "b"])
