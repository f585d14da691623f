"""canary-watch: an unattended rollback runbook for Kubernetes Deployments."""

__version__ = "0.1.0"
