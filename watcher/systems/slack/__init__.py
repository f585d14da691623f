"""Slack: one thread per case, whose messages are posted once, found again and changed. The runbook's steps call it.

`client` says what is asked, `calls` carries each call out. The app needs the scopes chat:write, channels:history,
channels:read, files:write and users:read.email, which Slack grants with users:read alone (for a private channel
groups:history and the channel's ID), and must be a member of the channel.
"""

from watcher.systems.slack.calls import SlackSettings
from watcher.systems.slack.client import Posted, Slack

__all__ = ["Posted", "Slack", "SlackSettings"]
