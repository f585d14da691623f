"""A PagerDuty account with teams, turns and an alert of Alertmanager's, and the calls that read it."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.systems.credentials import ROUTING_KEY
from watcher.sandbox import pagerduty as stand_in
from watcher.sandbox.pagerduty import Account, OnCall, Service, User
from watcher.systems.pagerduty import PageEvent, PagerDuty

OTHER_KEY = "an0th3rt3amsr0ut1ngk3y0123VWYXQZ"
MARIA = User("PUSER1", "Maria", "maria@example.com")
NIKO = User("PUSER2", "Niko", "niko@example.com")
ZOE = User("PUSER3", "Zoe", "zoe@example.com")
ACCOUNT = Account(
    services=(Service("PSHOP", "Shop", "PSHOPPOLICY"), Service("PDATA", "Databases", "PDATAPOLICY")),
    users=(MARIA, NIKO, ZOE),
    on_calls=(
        OnCall(ZOE.id, "PSHOPPOLICY", level=2),
        OnCall(NIKO.id, "PSHOPPOLICY", schedule="PWEEKLY"),
        OnCall(MARIA.id, "PSHOPPOLICY"),
        OnCall(MARIA.id, "PSHOPPOLICY", schedule="PCOMMANDER"),
        OnCall(MARIA.id, "PDATAPOLICY", schedule="PCOMMANDER"),
        OnCall(ZOE.id, "PDATAPOLICY", level=3),
    ),
    integrations={ROUTING_KEY: "PSHOP", OTHER_KEY: "PDATA"},
)
EVENT = PageEvent("case-1", "Rolled back shop/cart", "shopwave-prod-us-east-1", "error", {"bad": 24})
DETAILS = {
    "firing": "Labels:\n - alertname = svc-error-rate\n - namespace = shop\n",
    "labels": {"deployment": "checkout", "cluster": "shopwave-prod-eu-west-1"},
    "pods": ["checkout-1", "checkout-2"],
    "ratio": 0.042,
    "runbook": None,
}
CALLS: dict[str, Callable[[PagerDuty], object]] = {
    "open_incidents": lambda pagerduty: pagerduty.open_incidents("PSHOP", time.time() - 3600),
    "texts_of": lambda pagerduty: pagerduty.texts_of("Q0000000000002"),
    "on_call": lambda pagerduty: pagerduty.on_call("PSHOP"),
    "on_call_schedule": lambda pagerduty: pagerduty.on_call_schedule("PCOMMANDER"),
}


def furnish(api: stand_in.PagerDuty) -> None:
    """Set up two services with a policy each, three users, and an open incident of Alertmanager's."""
    api.account = ACCOUNT
    api.open_elsewhere("[FIRING:1] svc-error-rate", "PSHOP", DETAILS)
