"""The whole runbook at one desk, with every outside call cut once: one rollback, one incident, one message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

import pytest

from tests.runbook.conftest import Shop, template
from tests.runbook.parts import OWN, Clock, Line, cut, decision, until
from tests.runbook.test_thread_chart import Drawn
from watcher.adapters import PagerDutyPager, SlackAnnouncer
from watcher.judgement.model import Decision
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case
from watcher.runbook.cases import Cases
from watcher.runbook.confirm import Confirm
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.oncall import OnCall
from watcher.runbook.page import Page
from watcher.runbook.plan import Plan
from watcher.runbook.replies import replies
from watcher.runbook.report import Report
from watcher.runbook.revert import Revert
from watcher.runbook.thread import ChartInThread, Thread, chart_name
from watcher.runbook.verify import Verify
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches
from watcher.sandbox.pagerduty import PagerDuty
from watcher.sandbox.slack import Slack
from watcher.systems.kubernetes import Connection
from watcher.systems.probe import probe

MOST_PASSES = 40
CONTACTS = {"sre-oncall": "S0123ABCD"}


@dataclass
class CutAt:
    """Cuts the line at call number `at`, once; only calls that change something count where `changes`."""

    at: int
    changes: bool
    count: int = 0
    what: str = ""

    def __call__(self, method: str, path: str) -> None:
        """Take note of a call."""
        self.count += method != "get" or not self.changes
        if self.count == self.at and not self.what:
            self.what = f"{method} {path}"
            cut()


@dataclass
class Daemon:
    """The runbook's own parts of one daemon, for one life."""

    shop: Shop
    pager: PagerDutyPager
    announcer: SlackAnnouncer
    clock: Clock
    line: Line = field(init=False)
    lanes: Lanes = field(default_factory=lambda: Lanes(WORKERS))

    def __post_init__(self) -> None:
        self.line = Line(self.shop.connection)
        duty = Duty(lambda: True, self.clock, 60.0)
        steps = (
            Confirm(self.line, OWN),
            Plan(self.line, lambda query: "", lambda: ()),
            Revert(self.line, duty),
            OnCall(lambda: {"sre-oncall": ["U0123ABCD"]}),
            Page(self.pager),
            Announce(self.announcer, CONTACTS),
            Thread(self.announcer, CONTACTS),
            ChartInThread(self.announcer, Drawn()),
            Verify(self.line, lambda case, now: (True, "errors 0.00%"), probe, lambda case: None),
            Report(self.pager),
        )
        self.desk = Desk(Cases(self.line, OWN, "me"), steps, self.lanes, duty, Place("prod", "us-east-1"))

    def roll_back(self, wanted: Decision) -> Case:
        """Hand the decision in, as each pass would, until its case is closed."""
        key = wanted.rollout.key
        for _ in range(MOST_PASSES):
            if key not in self.desk.acted_on():
                self.desk.take(wanted)
            self.desk.advance()
            until(lambda: self.lanes.busy() == 0, "a pass's work")
            closed = [case for case in self.desk.every() if (case.uid, case.bad) == key and not case.is_open]
            if closed:
                return closed[0]
            until(self.shop.settled, "the Deployment")
            self.clock.now += 61.0
        raise AssertionError(f"not closed after {MOST_PASSES} passes: {self.desk.every()}")


@pytest.fixture
def lively(shop: Shop, pods: ThreadingHTTPServer, cluster: Connection) -> Iterator[Shop]:
    """The shop with its pods on a node; its good revision is of the image good."""
    good = template("good", pods.server_port)
    shop.connection.merge_patch(shop.path, {"spec": {"template": good, "replicas": 1}})
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    with Node(Client(cluster.server, "t"), Switches().run, shop.namespace, iter(["127.0.0.1"] * 999)):
        yield shop


def release(shop: Shop, image: str) -> Decision:
    """Ship a bad image on top of the good revision; what is decided about it."""
    newest = max(shop.revisions())
    container = {**shop.deployment()["spec"]["template"]["spec"]["containers"][0], "image": image}
    shop.connection.merge_patch(shop.path, {"spec": {"template": {"spec": {"containers": [container]}}}})
    until(lambda: shop.settled() and max(shop.revisions()) > newest, image)
    return decision(about=shop.rollout())


def check(case: Case, shop: Shop, pagerduty_api: PagerDuty, slack_api: Slack) -> None:
    """One rollback, verified; one incident, resolved with one note; one message, which says so; each reply once."""
    assert (case.outcome, shop.images()) == ("verified", "good")
    bad = shop.revisions()[case.bad]["metadata"]["annotations"]
    assert bad["canary-watch.io/verdict"] == "condemned"
    incidents = [i for i in pagerduty_api.incidents if i.dedup_key == case.id]
    assert [(i.status, len(i.notes)) for i in incidents] == [("resolved", 1)]
    messages = [m for m in slack_api.top if m.metadata["event_payload"]["key"] == case.id]
    assert len(messages) == 1
    assert messages[0].text.startswith(
        f"🚨 Rolled back `checkout` in `us-east-1` from revision {case.bad} to revision "
    )
    assert "✅ Verified" in messages[0].text
    assert incidents[0].html_url in messages[0].text
    assert "<@U0123ABCD>" in messages[0].text
    told = [str(m.metadata["event_payload"]["key"]) for m in slack_api.messages if m.thread_ts == messages[0].ts]
    assert sorted(told) == sorted(reply.key for reply in replies(case, CONTACTS))
    assert {key.split("/")[-3] for key in told} == {"confirm", "revert", "page", "verify", "report"}
    assert [file.name for file in slack_api.files if file.thread_ts == messages[0].ts] == [chart_name(case)]


Build = Callable[[], Daemon]


@pytest.fixture
def build(lively: Shop, pager: PagerDutyPager, announcer: SlackAnnouncer) -> Build:
    """Make a daemon with a fresh memory; its clock begins at this machine's time, by which the stand-ins go."""
    clock = Clock(time.time())
    return lambda: Daemon(lively, pager, announcer, clock)


def test_a_rollback_from_end_to_end(build: Build, lively: Shop, pagerduty_api: PagerDuty, slack_api: Slack) -> None:
    """Confirmed, reverted, paged, announced, verified and reported, with one patch of the Deployment."""
    wanted = release(lively, "bad")
    daemon = build()
    check(daemon.roll_back(wanted), lively, pagerduty_api, slack_api)
    assert [path.rsplit("/", 2)[1] for method, path in daemon.line.calls if method == "json_patch"] == [
        "deployments",
        "replicasets",
    ]


@pytest.mark.parametrize("side", ["before", "after"])
def test_any_call_to_the_cluster_may_fail(
    build: Build, lively: Shop, pagerduty_api: PagerDuty, slack_api: Slack, side: str
) -> None:
    """Whichever call to the API server fails, or loses its answer, the case comes to the same end, once."""
    cuts: list[str] = []
    for at in range(1, 60):
        wanted = release(lively, f"bad-{at}")
        daemon, cutting = build(), CutAt(at, changes=side == "before")
        setattr(daemon.line, side, cutting)
        check(daemon.roll_back(wanted), lively, pagerduty_api, slack_api)
        if not cutting.what:
            break
        cuts.append(cutting.what.split("/")[0] + cutting.what.rsplit("/", 2)[1])
    assert {"json_patch deployments", "json_patch replicasets", "replace configmaps"} <= set(cuts)


@pytest.mark.parametrize("mode", ["hung-halfway", "500", "429", "html"])
def test_any_call_to_a_vendor_may_fail(
    build: Build, lively: Shop, pagerduty_api: PagerDuty, slack_api: Slack, mode: str
) -> None:
    """Whichever kind of call to PagerDuty or Slack fails, or loses its answer, nothing is said twice or not at all."""
    calls = [(slack_api, "/api/chat.postMessage"), (slack_api, "/api/chat.update"), (slack_api, "/api/files.")]
    calls += [(pagerduty_api, "/v2/enqueue"), (pagerduty_api, "/incidents")]  # type: ignore[list-item]
    for number, (api, path) in enumerate(calls):
        wanted = release(lively, f"bad-{number}")
        api.inject(mode, prefix=path, times=1)  # type: ignore[arg-type]
        check(build().roll_back(wanted), lively, pagerduty_api, slack_api)


def test_a_daemon_may_die_at_any_call(build: Build, lively: Shop, pagerduty_api: PagerDuty, slack_api: Slack) -> None:
    """A daemon that hears nothing of its cluster any more, from any call on, leaves a case that the next one ends."""
    for at in range(1, 60):
        wanted = release(lively, f"bad-{at}")
        first, calls = build(), list[str]()

        def dying(method: str, path: str, calls: list[str] = calls, at: int = at) -> None:
            calls.append(path)
            if len(calls) >= at:
                cut()

        first.line.after = dying
        first.desk.take(wanted)
        until(lambda first=first: first.lanes.busy() == 0, "the first life's work")  # type: ignore[misc]
        until(lively.settled, "the Deployment")
        second = build()
        second.desk.load(second.clock())
        check(second.roll_back(wanted), lively, pagerduty_api, slack_api)
        if len(calls) < at:
            break
    assert at > 10
