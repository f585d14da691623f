"""The config's contacts: every role of the runbook's table is there, and can be reached."""

from __future__ import annotations

from pathlib import Path

from tests.policy.policy_texts import changed
from tests.test_settings import FULL, LEAST, mistakes_of, write
from watcher import sections, settings


def test_every_role_of_the_runbook_is_demanded_where_slack_is(tmp_path: Path) -> None:
    """Without contacts, each role is named with its use, at the section that wants it; without Slack, none is."""
    slack = 'slack: {tokenFile: slack-token, channel: "#deploy"}\n'
    found = mistakes_of(tmp_path, LEAST + slack)
    assert [said.partition(" is missing")[0] for said in found] == [
        f"4:1: contacts: {role}" for role in ("database-team", "incident-commander", "platform-lead", "sre-oncall")
    ]
    assert "(tagged and paged where a migration can't be taken back); write for example database-team: {" in found[0]
    assert mistakes_of(tmp_path, LEAST) == []
    assert mistakes_of(tmp_path, LEAST + "contacts: {sre-oncall: {}}\n") == []


def test_a_missing_role_is_told_beside_every_other_mistake(tmp_path: Path) -> None:
    """A mistake elsewhere doesn't hide a role that is missing, nor one that is unknown."""
    text = changed(changed(FULL, "  platform-lead", "  boss"), "interval:   15s", "interval:   15")
    assert [said.split(" ")[0] for said in mistakes_of(tmp_path, text)] == ["3:13:", "11:1:", "13:3:"]


def test_a_rotating_role_may_be_a_schedule_of_pagerduty(tmp_path: Path) -> None:
    """With a REST token, whoever is on call in a schedule is the role's handle; without a handle, that way is named."""
    token = changed(FULL, "apiTokenFile: null", "apiTokenFile: api-token")
    loaded, mistakes = settings.load(write(tmp_path, changed(token, '{slack: "U0COMMAND"}', "{schedule: PABC123}")))
    assert mistakes == ()
    assert loaded is not None
    assert loaded.contacts["incident-commander"] == sections.Contact(schedule="PABC123")
    said = (
        "15:3: incident-commander has no handle (tagged where a person is needed); write slack: and the id of a person"
    )
    said += " or a user group, or schedule: and the id of a PagerDuty schedule"
    assert mistakes_of(tmp_path, changed(token, '{slack: "U0COMMAND"}', "{}")) == [said]


def test_a_team_that_is_paged_by_itself_needs_pagerduty(tmp_path: Path) -> None:
    """A routing key is of no use where PagerDuty is switched off, and no handle in Slack."""
    lines = [line for line in FULL.splitlines() if not line.startswith("pagerduty")]
    found = mistakes_of(tmp_path, "\n".join(lines))
    assert found == [
        "13:39: routingKeyFile: is a key to PagerDuty, which is switched off; write the section pagerduty, too"
    ]
    found = mistakes_of(tmp_path, changed(FULL, 'slack: "S0456EFGH", ', ""))
    assert [said.partition(" (")[0] for said in found] == ["14:3: database-team has no handle"]
