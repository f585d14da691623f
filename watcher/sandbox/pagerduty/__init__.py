"""PagerDuty's stand-in: the Events API v2 and the part of the REST API v2 that canary-watch uses, on loopback.

What it demands is what PagerDuty documents; each rule cites its page. Every breach is answered as PagerDuty answers it
and kept in `violations`. Pages are below https://developer.pagerduty.com/. `server` answers, `account` is what is there
to be asked for, `events` and `lists` have the rules.
"""

from watcher.sandbox.pagerduty.account import Account, Alert, Incident, OnCall, Service, User
from watcher.sandbox.pagerduty.server import ACCEPT, PagerDuty

__all__ = ["ACCEPT", "Account", "Alert", "Incident", "OnCall", "PagerDuty", "Service", "User"]
