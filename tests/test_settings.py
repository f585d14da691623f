"""The config file: what it comes to, and where each mistake in it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.policy.policy_texts import RATIO, VALUE, changed
from watcher import sections, settings
from watcher.policy.loading import load as load_policies

ROLES = "there are sre-oncall, platform-lead, database-team, incident-commander"

# As in the design, with every key that there is.
FULL = """\
cluster:    {name: shopwave-prod-us-east-1, region: us-east-1}
policies:   /etc/canary-watch/policies
interval:   15s
namespaces: []
prometheus: {url: "http://prometheus.monitoring:9090", timeout: 5s, bearerTokenFile: null, caFile: null}
pagerduty:  {routingKeyFile: secrets/routing-key, apiTokenFile: null, serviceId: null, fromEmail: sre@example.com}
slack:      {tokenFile: /run/slack-token, channel: "#deploy", apiUrl: "https://slack.com/api/"}
jira:       {url: null, emailFile: jira-email, tokenFile: jira-token, project: OPS}
grafana:    {url: https://grafana.example.com, tokenFile: a-token, dashboard: "/d/service?var-deployment=$deployment"}
postmortem: {longerThan: 15m, moreThan: 0.1%, reviewWithin: 48h, timeZone: Europe/Berlin}
contacts:
  sre-oncall: {slack: "S0123ABCD"}
  platform-lead: {slack: "U0789IJKL"}
  database-team: {slack: "S0456EFGH", routingKeyFile: database-key}
  incident-commander: {slack: "U0COMMAND"}
serve:      {address: "0.0.0.0:8080"}
lease:      {duration: 15s}
"""
LEAST = 'cluster: {name: c, region: r}\npolicies: policies\nprometheus: {url: "http://prometheus:9090"}\n'


def write(folder: Path, text: str) -> Path:
    """Write a config file."""
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def mistakes_of(folder: Path, text: str) -> list[str]:
    """Load a config file and give its mistakes as `line:column: said`."""
    loaded, mistakes = settings.load(write(folder, text))
    assert (loaded is None) == bool(mistakes)
    return [f"{m.line}:{m.column}: {m.said}" for m in mistakes]


def test_every_key_comes_through_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Times are seconds, and a relative path is one beside the config file, wherever the daemon was started."""
    loaded, mistakes = settings.load(write(tmp_path, FULL))
    assert mistakes == ()
    assert loaded == settings.Settings(
        cluster=sections.Cluster(name="shopwave-prod-us-east-1", region="us-east-1"),
        policies=Path("/etc/canary-watch/policies"),
        interval=15.0,
        prometheus=sections.Prometheus(url="http://prometheus.monitoring:9090", timeout=5.0),
        pagerduty=sections.PagerDuty(routing_key_file=tmp_path / "secrets/routing-key", from_email="sre@example.com"),
        slack=sections.Slack(token_file=Path("/run/slack-token"), channel="#deploy"),
        jira=sections.Jira(email_file=tmp_path / "jira-email", token_file=tmp_path / "jira-token", project="OPS"),
        contacts={
            "sre-oncall": sections.Contact(slack="S0123ABCD"),
            "platform-lead": sections.Contact(slack="U0789IJKL"),
            "database-team": sections.Contact(slack="S0456EFGH", routing_key_file=tmp_path / "database-key"),
            "incident-commander": sections.Contact(slack="U0COMMAND"),
        },
        grafana=sections.Grafana(
            url="https://grafana.example.com",
            token_file=tmp_path / "a-token",
            dashboard="/d/service?var-deployment=$deployment",
        ),
        postmortem=sections.Postmortem(time_zone="Europe/Berlin"),
        source=tmp_path / "config.yaml",
    )


def test_a_section_left_out_switches_its_vendor_off(tmp_path: Path) -> None:
    """Only the cluster, the policies and Prometheus are needed; everything else has its default."""
    loaded, mistakes = settings.load(write(tmp_path, LEAST))
    assert mistakes == ()
    assert loaded is not None
    assert (loaded.pagerduty, loaded.slack, loaded.jira) == (None, None, None)
    assert (loaded.interval, loaded.namespaces, loaded.lease.duration) == (15.0, (), 15.0)
    assert (loaded.serve.host, loaded.serve.port) == ("0.0.0.0", 8080)  # noqa: S104 - read, not bound


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("cluster:    {name: shopwave-prod-us-east-1, region: us-east-1}\n", "", "1:1: cluster is missing", "region:"),
        (", region: us-east-1", "", "1:13: region is missing", "region: us-east-1"),
        ("policies:   /etc/canary-watch/policies\n", "", "1:1: policies is missing", ""),
        ('url: "http://prometheus.monitoring:9090", ', "", "5:13: url is missing", "http://"),
        ("interval:   15s", "intervall:  15s", "3:1: intervall", "did you mean interval?"),
        ("{routingKeyFile", "{routing_key_file", "6:14: routing_key_file", "did you mean routingKeyFile?"),
        ("interval:   15s", "interval:   15", "3:13: interval: 15 has no unit", "write 15s"),
        ("interval:   15s", "interval:   500ms", "3:13: interval: 500ms is too short", "at least 1s"),
        ("interval:   15s", "interval:   1:30", "3:13: interval: 90 has no unit", "YAML reads 1:30 as 90"),
        ("timeout: 5s", "timeout: 0s", "5:65: timeout", "longer"),
        ("duration: 15s", "duration: 2s", "17:24: duration: 2s is too short", "at least 3s"),
        ("namespaces: []", 'namespaces: ["*"]', "4:14: namespaces[0]", "leave namespaces empty"),
        ("namespaces: []", "namespaces: shop", "4:13: namespaces is text", "a list is meant"),
        ("http://prometheus", "prometheus", "5:19: url is not a URL", "http://"),
        ("http://prometheus", "http://me:hunter2@prometheus", "5:19: url: holds credentials", "take them out"),
        ("https://slack.com/api/", "https://slack.com/api/?a=b", "7:", "must end with its path"),
        ('"#deploy"', "\n  #deploy\n ", "9:2: channel is empty", '"#deploy"'),
        ('"#deploy"', "deploy", "7:52: channel is not a Slack channel", '"#deploy"'),
        ('"S0123ABCD"', '"@sre-oncall"', "12:23: slack", "a user group (S0123ABCD)"),
        ('{slack: "S0123ABCD"}', "S0123ABCD", "12:15: sre-oncall is text", "sre-oncall: {slack: S0123ABCD}"),
        ("sre@example.com", "nobody", "6:99: fromEmail is not an e-mail address", ""),
        ('"0.0.0.0:8080"', "8080", "16:23: address is not an address", "0.0.0.0:8080"),
        ('"0.0.0.0:8080"', '"0.0.0.0:80800"', "16:23: address is not an address", ""),
        ("project: OPS", "project: 1.10", "8:80: project: 1.10 is a number to YAML", "quotes"),
        ("secrets/routing-key", "7", "6:30: routingKeyFile is not a path", ""),
        ("url: null", "url: shopwave.atlassian.net", "8:19: url is not a URL", "http:// or https://"),
        ("project: OPS", "issuetype: Bug", "8:71: issuetype is not a key here", "did you mean issueType?"),
        ("fromEmail: sre@example.com", "alert: 5", "6:95: alert: 5 is a number to YAML", 'write "5" in quotes'),
        ("url: https://grafana.example.com, ", "", "9:13: url is missing", "url: https://grafana.example.com"),
        (", tokenFile: a-token", "", "9:13: tokenFile is missing", "/etc/canary-watch/secrets/grafana-token"),
        ("https://grafana.", "grafana.", "9:19: url is not a URL", "https://"),
        ('"/d/service?var', '"d/service?var', "9:79: dashboard is not a dashboard", "/d/service?var-deployment="),
        ('"/d/service?var', '"/d/a service?var', "9:79: dashboard is not a dashboard", ""),
        (
            '"/d/service?var',
            '"https://me:hunter2@g/d/service?var',
            "9:79: dashboard: holds credentials",
            "take them out",
        ),
        ("deployment=$deployment", "deployment=$pod", "9:79: dashboard: only $namespace and $deployment", ""),
        ("=$deployment", "=${deployment}", "9:79: dashboard: only $namespace and $deployment", "without braces"),
        ("longerThan: 15m", "longerThan: 15", "10:26: longerThan: 15 has no unit", "write 15s, 15m or 15h"),
        ("moreThan: 0.1%", "moreThan: 0.001", "10:41: moreThan: 0.001 is not a share of requests", "like 0.1%"),
        ("moreThan: 0.1%", "moreThan: 100%", '10:41: moreThan: "100%" is not a share of requests', "like 0.1%"),
        ("moreThan: 0.1%", "moreThan: 5s", '10:41: moreThan: "5s" is not a share of requests', "like 0.1%"),
        ("reviewWithin: 48h", "reviewWithin: 0h", "10:61: reviewWithin", "longer"),
        ("reviewWithin", "reviewIn", "10:47: reviewIn is not a key here", "did you mean reviewWithin?"),
        ("Europe/Berlin", "europe/berlin", '10:76: timeZone: "europe/berlin" is not a time zone', "Europe/Berlin?"),
        ("Europe/Berlin", "Mars/Base", '10:76: timeZone: "Mars/Base" is not a time zone', "or UTC"),
        ("Europe/Berlin", "Europe", '10:76: timeZone: "Europe" is not a time zone', ""),
        ("  platform-lead", "  platform_lead", "13:3: platform_lead is not a role of the runbook", ROLES),
        ('  platform-lead: {slack: "U0789IJKL"}\n', "", "11:1: contacts: platform-lead is missing", "platform-lead: {"),
        ('{slack: "U0COMMAND"}', "{}", "15:3: incident-commander has no handle", "write slack:"),
        ('{slack: "U0COMMAND"}', "{slack: null}", "15:3: incident-commander has no handle", "write slack:"),
        ('{slack: "U0COMMAND"}', "{schedule: PABC}", "15:34: schedule: is looked up at", "pagerduty.apiTokenFile"),
        ('{slack: "U0COMMAND"}', "{pager: PABC}", "15:24: pager is not a key here", "slack, schedule, routingKeyFile"),
        (
            '{slack: "U0COMMAND"}',
            "{slack: U0COMMAND, routingKeyFile: a}",
            "15:42: routingKeyFile: ",
            "database-team is",
        ),
    ],
)
def test_a_mistake_in_the_config_is_placed_and_says_what_would_be_right(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    """Each broken key gives a mistake at its own line and column, with the words that put it right."""
    found = mistakes_of(tmp_path, changed(FULL, old, new))
    assert [said for said in found if said.startswith(place) and words in said], found


def test_no_mistake_repeats_a_secret(tmp_path: Path) -> None:
    """Secrets written where they don't belong are found, and not printed."""
    text = changed(FULL, "http://prometheus.monitoring", "http://me:hunter2@prometheus")
    text = changed(text, "routingKeyFile: secrets/routing-key", "routingKey: hunter2, routingKeyFile: hunter2")
    found = mistakes_of(tmp_path, text)
    assert len(found) == 2
    assert "hunter2" not in "".join(found)


def test_missing_files_are_named_by_their_keys(tmp_path: Path) -> None:
    """A file that isn't there is a mistake of its key; the path, which may be a secret, isn't repeated."""
    (tmp_path / "jira-email").write_text("x")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "routing-key").mkdir()
    (tmp_path / "database-key").touch()
    text = changed(changed(FULL, "/run/slack-token", "hunter2"), "url: null", "url: https://shopwave.atlassian.net")
    loaded, _ = settings.load(write(tmp_path, text))
    assert loaded is not None
    found = [str(mistake).removeprefix(f"{tmp_path}/config.yaml:") for mistake in settings.missing_files(loaded)]
    assert found == [
        "6:30: routingKeyFile: names no file that can be read from here",
        "7:25: tokenFile: names no file that can be read from here",
        "8:85: tokenFile: names no file that can be read from here",
        "9:59: tokenFile: names no file that can be read from here",
        "14:55: routingKeyFile: names an empty file",
    ]


def test_a_jira_without_its_url_misses_no_file(tmp_path: Path) -> None:
    """`url: null` switches Jira off, so that its files aren't asked for."""
    loaded, _ = settings.load(write(tmp_path, LEAST + "jira: {url: null, tokenFile: jira-token, project: OPS}\n"))
    assert loaded is not None
    assert settings.missing_files(loaded) == ()


def test_the_new_sections_have_the_runbooks_defaults(tmp_path: Path) -> None:
    """A postmortem after 15 minutes or 0.1 % of requests, a review within 48 hours; the runbook's alert; a Task."""
    loaded, _ = settings.load(write(tmp_path, FULL))
    assert loaded is not None
    assert loaded.pagerduty is not None
    assert loaded.jira is not None
    assert (loaded.pagerduty.alert, loaded.jira.issue_type) == ("svc-error-rate", "Task")
    asked, _ = settings.load(write(tmp_path, LEAST))
    assert asked is not None
    assert (asked.grafana, asked.jira, dict(asked.contacts)) == (None, None, {})
    limits = asked.postmortem
    assert (limits.longer_than, limits.more_than, limits.review_within, limits.time_zone) == (900, 0.001, 172800, "UTC")


def test_a_postmortem_for_every_affected_request_can_be_asked_for(tmp_path: Path) -> None:
    """0 % is a limit, too; and shares are fractions."""
    for written, share in (("0%", 0.0), ("2.5%", 0.025)):
        loaded, _ = settings.load(write(tmp_path, changed(FULL, "0.1%", written)))
        assert loaded is not None
        assert loaded.postmortem.more_than == share


def test_a_dashboard_may_be_a_whole_address(tmp_path: Path) -> None:
    """One Grafana's link may lead to another, which people use."""
    address = "https://graphs.example.com/d/service?var-namespace=$namespace"
    loaded, _ = settings.load(write(tmp_path, changed(FULL, "/d/service?var-deployment=$deployment", address)))
    assert loaded is not None
    assert loaded.grafana is not None
    assert loaded.grafana.dashboard == address


def test_policies_are_held_against_the_config(tmp_path: Path) -> None:
    """Times below the interval and namespaces that aren't watched are mistakes at their place in the policy."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(changed(RATIO, '["*"]', "[shop, web]"))
    text = changed(changed(VALUE, "for: 5m", "for: 20s"), "30m", "25s")
    (tmp_path / "policies" / "b.yaml").write_text(text)
    loaded, _ = settings.load(write(tmp_path, LEAST))
    assert loaded is not None
    policies, mistakes = load_policies([loaded.policies])
    assert mistakes == ()
    assert settings.check_against(loaded, policies) == ()
    strict = replace(loaded, interval=30.0, namespaces=("shop",))
    found = [str(m).removeprefix(f"{tmp_path}/policies/") for m in settings.check_against(strict, policies)]
    assert found == [
        "a.yaml:5:30: namespaces[1]: the config's namespaces leave web out, so that it is never watched",
        "b.yaml:6:13: watchFor: 25s is shorter than the config's interval; write at least 30s",
        "b.yaml:11:10: for: 20s is shorter than the config's interval; write at least 30s",
    ]


def test_one_reading_is_enough_where_for_is_left_out(tmp_path: Path) -> None:
    """A check without `for` goes with any interval."""
    (tmp_path / "a.yaml").write_text(changed(VALUE, "    for: 5m\n", ""))
    loaded, _ = settings.load(write(tmp_path, LEAST))
    assert loaded is not None
    assert settings.check_against(loaded, load_policies([tmp_path / "a.yaml"])[0]) == ()
