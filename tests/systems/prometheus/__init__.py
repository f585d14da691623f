"""Prometheus's adapter against canned HTTP; `tests/sandbox` has it against a real Prometheus."""
