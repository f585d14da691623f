"""What `--help` says below each command's options: examples, where things are, exit codes."""

from __future__ import annotations

EXIT_CODES = "Exit codes: 0 done; 1 it could not be done, and standard error says why; 2 a wrong command line."
OWN_NAMESPACE = """\
The daemon's own Namespace is $POD_NAMESPACE, else the pod's, else that of the kubeconfig's context: cases, the Lease
and the pause of the whole cluster are there."""
TOP = f"""\
Start with:
  canary-watch validate policies/
  canary-watch run --config config.yaml --dry-run

{EXIT_CODES}"""
RUN = f"""\
Examples:
  canary-watch run --config /etc/canary-watch/config.yaml
  canary-watch run --config config.yaml --dry-run --once    what would it do right now?

{OWN_NAMESPACE}

Decisions of a dry run are on standard output, everything else is logged on standard error.

Exit codes: 0 ended as it was told, or made its pass; 1 mistakes in the files, no cluster configured, or no pass could
be made with --once, and standard error says why; 2 a wrong command line. Without --once, a cluster that can't be
reached is tried again, and that is logged."""
VALIDATE = """\
Examples:
  canary-watch validate policies/
  canary-watch validate --config config.yaml policies/ more.yaml --output json

Exit codes: 0 no mistakes; 1 mistakes; 2 a wrong command line."""
SCHEMA = """\
Example:
  canary-watch schema > policy.schema.json

Exit codes: 0 printed; 2 a wrong command line."""
PAUSE = f"""\
Examples:
  canary-watch pause shop/checkout --for 2h --reason "load test"
  kubectl annotate namespace shop canary-watch.io/pause=true     a whole Namespace; the daemon's own: the whole cluster

{EXIT_CODES}"""
RESUME = f"""\
Examples:
  canary-watch resume shop/checkout
  kubectl annotate namespace shop canary-watch.io/pause-         the pause of a Namespace, which this doesn't touch

{EXIT_CODES}"""
ROLLBACK = f"""\
Examples:
  canary-watch rollback shop/checkout --config config.yaml --reason "orders fail for customers in Spain"
  canary-watch rollback shop/checkout --config config.yaml --to-revision 41

The running daemon takes the case up within a pass, and through the same steps as its own: confirm, revert, page,
message, verify, migration, postmortem. A pause holds it. An order that was not carried out within 10 minutes is
escalated instead. Interrupted, this command ends; the rollback goes on.

{OWN_NAMESPACE}

Exit codes: 0 verified, or opened with --no-wait; 1 refused, or it ended otherwise, which is said; 2 a wrong command
line."""
STATUS = f"""\
Examples:
  canary-watch status --config config.yaml
  POD_NAMESPACE=canary-watch canary-watch status --config config.yaml --output json

{OWN_NAMESPACE}

Exit codes: 0 shown, also where Prometheus doesn't answer: then verdicts are Unknown; 1 mistakes in the files, or the
cluster can't be read, and standard error says why; 2 a wrong command line."""
