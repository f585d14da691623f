"""Whether an incident that somebody else's alerting has opened is about our Deployment, so that nobody is paged twice.

Pure: the texts come from the incident's title and its alerts. A doubt counts as no: a second page is better than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WORD = re.compile(r"[A-Za-z0-9_.-]+")
AROUND = "._"
"""What may stand around a name and isn't of it: the end of a sentence, Markdown's emphasis. A dash is: `checkout-*`."""
_FILL = r"""[ \t\\"'`*]*"""
# `namespace: shop`, `namespace="shop"`, `- namespace = shop` as Alertmanager writes it, `"namespace": "shop"`.
# "A bad deployment: roll it back" is prose, and names none. Of a cluster: `k8s_cluster`, `cluster.name`, `clusterId`.
LABEL = re.compile(
    r"(?<![A-Za-z0-9_.-])((?:[A-Za-z0-9_.-]*[_.])?namespace|(?<![A-Za-z0-9_.] )deployment"
    r"|[A-Za-z0-9_.-]*cluster(?:[_.-]?(?:name|id))?"
    rf"|deployment(?={_FILL}=))"
    rf"{_FILL}(?::|=~?){_FILL}([A-Za-z0-9][A-Za-z0-9_.-]*)",
    re.IGNORECASE,
)


def speaks_of(texts: Iterable[str], alert: str, subject: tuple[str, str], place: tuple[str, str]) -> bool:
    """Say whether an incident with these texts is the alert of this name for this Deployment in this cluster.

    `subject` is (namespace, Deployment), `place` (cluster, region). The alert's name, the Deployment's and the
    cluster's or the region's all have to be there as whole words: `checkout-worker` is not `checkout`. Labels that name
    another namespace, or none but other Deployments or clusters, make it somebody else's: the region tells only where
    no label names a cluster, for another one may be in it.
    """
    known = tuple(texts)
    words = {word.strip(AROUND) for text in known for word in WORD.findall(text)}
    namespace, deployment = subject
    if alert not in words or deployment not in words or words.isdisjoint(place):
        return False
    named: dict[str, set[str]] = {}
    for text in known:
        for label, value in LABEL.findall(text):
            named.setdefault(label.lower(), set()).add(value.strip(AROUND))
    # Of `namespace` there may be no other. `exported_namespace`, `source_workload_namespace` and the like may stand
    # beside one another with different values, and one alert may group several Deployments: ours has to be among them.
    of_others = {value for label, values in named.items() if label.endswith("namespace") for value in values}
    clusters = {value for label, values in named.items() if "cluster" in label for value in values}
    return (
        named.get("namespace", set()) <= {namespace}
        and (not of_others or namespace in of_others)
        and (not clusters or place[0] in clusters)
        and deployment in named.get("deployment", {deployment})
    )
