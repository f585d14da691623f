"""Which incident is the alert of our Deployment: tables, no fakes."""

from __future__ import annotations

import pytest

from watcher.runbook.alerts import speaks_of

ALERT = "svc-error-rate"
SUBJECT = ("shop", "checkout")
EU = ("shopwave-prod-eu-west-1", "eu-west-1")
US = ("shopwave-prod-us-east-1", "us-east-1")
ALERTMANAGER = """Labels:
 - alertname = svc-error-rate
 - cluster = shopwave-prod-eu-west-1
 - deployment = checkout
 - namespace = shop
Annotations:
 - summary = 4% of the requests of checkout fail.
Source: http://prometheus:9090/graph?g0.expr=rate%28errors%29
"""
TITLE = "[FIRING:1] svc-error-rate (checkout eu-west-1 critical)"
JSON = '{"alertname":"svc-error-rate","namespace":"shop","deployment":"checkout","region":"eu-west-1"}'


@pytest.mark.parametrize(
    "texts",
    [
        (TITLE,),
        (ALERTMANAGER,),
        (JSON,),
        (JSON.replace('"', '\\"'),),
        ("svc-error-rate", "deployment: checkout", "namespace: shop", "cluster: shopwave-prod-eu-west-1"),
        ("svc-error-rate: shop/checkout in eu-west-1",),
        ("svc-error-rate\r\n\r\n*Namespace:* `shop`\r\n*Service:* _checkout_\r\n*Region:* eu-west-1.",),
        ('errors{namespace="shop",deployment=~"checkout"}', "svc-error-rate", "eu-west-1"),
        ("The alert svc-error-rate fires for checkout. It is in eu-west-1.",),
        (TITLE, 'namespace!="other"'),
        (TITLE, "namespace: "),
        (TITLE, 'namespace=~".*"'),
        (TITLE, "namespaces: other"),
        (TITLE, "in the namespace other than ours"),
        (TITLE, "source_workload_namespace = front", "destination_workload_namespace = shop"),
        (ALERTMANAGER, ALERTMANAGER.replace("deployment = checkout", "deployment = cart")),
        (ALERTMANAGER, "compare us-east-1"),
        (TITLE, "k8s_cluster: shopwave-prod-eu-west-1", "cluster: monitoring"),
        (TITLE, "cluster.name=shopwave-prod-eu-west-1"),
        (TITLE, "cluster: "),
        (TITLE, "Probably a bad deployment: see https://wiki.example.com/rollback"),
    ],
)
def test_the_alert_of_our_deployment_is_ours(texts: tuple[str, ...]) -> None:
    """Alert, Deployment and place, named as whole words in any of the usual notations, make it ours."""
    assert speaks_of(texts, ALERT, SUBJECT, EU)


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("",),
        (ALERTMANAGER.replace("svc-error-rate", "svc-latency-p99"),),
        (ALERTMANAGER.replace("svc-error-rate", "svc-error-rate-slow"),),
        (ALERTMANAGER.replace("svc-error-rate", "canary-svc-error-rate"),),
        (ALERTMANAGER.replace("checkout", "checkout-worker"),),
        (ALERTMANAGER.replace("checkout", "pre-checkout"),),
        (ALERTMANAGER.replace("checkout", "checkouts"),),
        (ALERTMANAGER.replace("checkout", "checkout.v2"),),
        (ALERTMANAGER.replace("checkout", "checkout-7d9f8b6c5-x2x4z"),),
        (ALERTMANAGER.replace("checkout", "checkout-*"),),
        (ALERTMANAGER.replace("eu-west-1", "us-east-1"),),
        (ALERTMANAGER.replace("eu-west-1", "eu-west-1b"),),
        (ALERTMANAGER.replace("eu-west-1", "eu-west-10"),),
        (ALERTMANAGER.replace("eu-west-1", "eu-west"),),
        (ALERTMANAGER.replace("namespace = shop", "namespace = other"),),
        (ALERTMANAGER.replace("namespace = shop", "namespace = shop-staging"),),
        (JSON.replace('"shop"', '"other"'),),
        (JSON.replace('"shop"', '"other"').replace('"', '\\"'),),
        (TITLE, "namespace: other"),
        (TITLE, "Namespace: other"),
        (TITLE, "*namespace:* `other`"),
        (TITLE, 'errors{namespace="other"}'),
        (TITLE, "namespace=other"),
        (TITLE, "namespace: shop", "namespace: other"),
        (TITLE, "destination_workload_namespace: other"),
        (TITLE, "exported_namespace: shop", "namespace: monitoring"),
        (TITLE, "deployment: cart"),
        (ALERTMANAGER.replace("prod", "staging"), "region: eu-west-1"),
        (JSON, '"cluster":"shopwave-staging-eu-west-1"'),
        (TITLE, "*Cluster:* `shopwave-staging-eu-west-1`"),
        (TITLE, "cluster_name: shopwave-staging-eu-west-1"),
        (TITLE, "k8s_cluster = eu-west-1"),
        (TITLE, "kubernetesCluster: staging"),
        (TITLE, "exported_cluster: staging", "it is not shopwave-prod-eu-west-1"),
        (TITLE, "namespace=shop deployment=cart"),
    ],
)
def test_another_alert_is_not_ours(texts: tuple[str, ...]) -> None:
    """Another alert, Deployment, cluster or namespace, or a name that only begins, ends or contains ours, is not it."""
    assert not speaks_of(texts, ALERT, SUBJECT, EU)


def test_each_cluster_takes_its_own() -> None:
    """The same alert in the other region is the other daemon's."""
    american = ALERTMANAGER.replace("eu-west-1", "us-east-1")
    assert speaks_of((american,), ALERT, SUBJECT, US)
    assert not speaks_of((american,), ALERT, SUBJECT, EU)


def test_a_name_with_dots_and_one_of_a_regular_expressions_characters_is_a_word() -> None:
    """Names are compared as they are: nothing in them is a pattern."""
    texts = ("svc.error rate of check.out in shop at eu-west-1", "svc.error")
    assert speaks_of(texts, "svc.error", ("shop", "check.out"), EU)
    assert not speaks_of(texts, "svc-error", ("shop", "check.out"), EU)
    assert not speaks_of(texts, "svc.error", ("shop", "check-out"), EU)


def test_an_empty_place_is_found_nowhere() -> None:
    """A cluster without a name is in no text."""
    assert not speaks_of((TITLE, ""), ALERT, SUBJECT, ("", ""))


def test_texts_are_read_once() -> None:
    """An iterator will do, though the texts are looked at twice."""
    assert not speaks_of(iter((TITLE, "namespace: other")), ALERT, SUBJECT, EU)


def test_a_long_text_takes_no_long_time() -> None:
    """A text of one endless word is looked at in a time that grows with its length alone."""
    assert not speaks_of(
        ("namespace_" * 100_000, "a." * 500_000, "namespace " * 100_000, "cluster_" * 100_000), ALERT, SUBJECT, EU
    )
