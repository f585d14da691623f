"""The made-up secrets of the adapters' tests: long and odd enough to be recognised wherever they show."""

from __future__ import annotations

ROUTING_KEY = "r0ut1ngk3y0123456789abcdefghYZQX"
SHORT_KEY = "t00sh0rtWJQV"
API_TOKEN = "u+restT0kenWXVU"
SLACK_TOKEN = "xoxb-2718281828-sl4ckT0kenKJHG"
