"""The command line, `canary-watch`: says what the commands take, and starts them."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from watcher import __version__
from watcher.commands.arguments import Parser, Target, pause_duration, subject
from watcher.commands.ending import Ending
from watcher.systems.fault import Fault

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
STATUS = f"""\
Examples:
  canary-watch status --config config.yaml
  POD_NAMESPACE=canary-watch canary-watch status --config config.yaml --output json

{OWN_NAMESPACE}

Exit codes: 0 shown, also where Prometheus doesn't answer: then verdicts are Unknown; 1 mistakes in the files, or the
cluster can't be read, and standard error says why; 2 a wrong command line."""


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    top = Parser(
        prog="canary-watch",
        description="Watches rollouts in a Kubernetes cluster and carries the rollback runbook out on the bad ones.",
        epilog=TOP,
    )
    top.add_argument("--version", action="version", version=f"canary-watch {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _run_parser(commands)
    _policy_parsers(commands)
    _pause_parsers(commands)
    status = commands.add_parser(
        "status",
        help="show rollouts under watch, verdicts, holds and open cases",
        description="Look at the cluster and at Prometheus once, as a pass does, and show what it would decide.\n"
        "Changes nothing, and needs no running daemon and no secret of PagerDuty or Slack.",
        epilog=STATUS,
    )
    _config(status)
    _cluster(status)
    _output(status, "tables, or one JSON object with rollouts and cases")
    return top


def _run_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    run = commands.add_parser(
        "run",
        help="run the daemon",
        description="Watch rollouts, judge them by the policies, and roll bad ones back.\n"
        "Ends within 2 s of SIGTERM or SIGINT; what was under way goes on from its case at the next start.",
        epilog=RUN,
    )
    _config(run)
    _cluster(run)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="decide and report everything, change and send nothing (but hold a Lease)",
    )
    run.add_argument(
        "--once", action="store_true", help="make one pass, give the steps that it started a minute, and end"
    )
    run.add_argument("--verbose", action="store_true", help="log every pass, also those that saw nothing new")


def _policy_parsers(commands: argparse._SubParsersAction[Parser]) -> None:
    validate = commands.add_parser(
        "validate",
        help="check policy files",
        description="Report every mistake of every file as file:line:column and what would be right.\n"
        "PromQL is checked offline; no cluster and no Prometheus is asked.",
        epilog=VALIDATE,
    )
    validate.add_argument(
        "policies", nargs="+", type=Path, metavar="POLICY", help="a policy file, or a folder with *.yaml and *.yml"
    )
    validate.add_argument(
        "--config", type=Path, metavar="FILE", help="check this config file too, and the policies against its interval"
    )
    _output(validate, "a line for each mistake and one with the counts, or one JSON object")
    commands.add_parser(
        "schema",
        help="print the JSON Schema of the policy file",
        description="Print the JSON Schema of the policy file, for editors and other linters.",
        epilog=SCHEMA,
    )


def _pause_parsers(commands: argparse._SubParsersAction[Parser]) -> None:
    pause = commands.add_parser(
        "pause",
        help="hold rollbacks of a Deployment",
        description="Set the pause annotation on a Deployment: a breach is then said and paged, and not rolled back.\n"
        "Pausing again replaces the time and the reason.",
        epilog=PAUSE,
    )
    _subject(pause)
    pause.add_argument(
        "--for",
        dest="duration",
        type=pause_duration,
        metavar="DURATION",
        help="how long, as 30m or 2h; until it is resumed by default",
    )
    pause.add_argument("--reason", default="", metavar="TEXT", help="shown wherever the hold is shown")
    _cluster(pause)
    resume = commands.add_parser(
        "resume",
        help="take the pause off a Deployment",
        description="Remove the pause annotations from a Deployment.\n"
        "A breach that goes on is rolled back in the next pass. One that isn't paused is left alone: also code 0.",
        epilog=RESUME,
    )
    _subject(resume)
    _cluster(resume)


def _subject(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "subject", type=subject, metavar="NAMESPACE/DEPLOYMENT", help="the Deployment, as shop/checkout"
    )


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the config file; paths in it start at its folder"
    )


def _cluster(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kubeconfig", metavar="FILE", help="this cluster; else the pod's own, else $KUBECONFIG, else ~/.kube/config"
    )
    command.add_argument("--context", metavar="NAME", help="the kubeconfig's context; its current one by default")


def _output(command: argparse.ArgumentParser, forms: str) -> None:
    command.add_argument("--output", choices=("text", "json"), default="text", help=f"{forms}; text by default")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Usage mistakes end in argparse's own way, with code 2."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with it closed: what is said there has to go somewhere
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
    try:
        asked = parser().parse_args(arguments)
        ending = Ending() if asked.command == "run" else None  # before what takes time
        _log_to_stderr(verbose=bool(getattr(asked, "verbose", False)))
        code = _dispatch(asked, ending)
        sys.stdout.flush()
    except Fault as fault:
        remedy = " (--kubeconfig and --context choose the cluster)" if fault.system == "Kubernetes" else ""
        sys.stderr.write(f"canary-watch: {fault}{remedy}\n")
        return 1
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # or else the interpreter writes the rest at its end, and fails again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("canary-watch: interrupted\n")
        return 1
    return code


def _log_to_stderr(*, verbose: bool) -> None:
    """Log one line each, times in UTC, as all times that canary-watch writes."""
    form = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("canary-watch").setLevel(logging.DEBUG if verbose else logging.INFO)


def _dispatch(asked: argparse.Namespace, ending: Ending | None) -> int:
    """Start the command; each is imported when it is asked for, so that `validate` doesn't load a Kubernetes client."""
    if asked.command in ("validate", "schema"):
        from watcher.commands import policies  # noqa: PLC0415 - see above

        if asked.command == "schema":
            return policies.schema(sys.stdout)
        return policies.validate(asked.policies, asked.config, asked.output, sys.stdout)
    target = Target(asked.kubeconfig, asked.context)
    if asked.command in ("pause", "resume"):
        from watcher.commands import pauses  # noqa: PLC0415 - see above

        if asked.command == "resume":
            return pauses.resume(target, asked.subject, sys.stdout)
        until = time.time() + asked.duration if asked.duration else None
        notes = pauses.pause_annotations(until, asked.reason)
        return pauses.pause(target, asked.subject, notes, sys.stdout)
    from watcher.commands.setup import build  # noqa: PLC0415 - see above

    dry_run, looks_only = ending is None or asked.dry_run, ending is None
    daemon = build(asked.config, target, dry_run=dry_run, looks_only=looks_only, err=sys.stderr)
    if daemon is None:
        return 1
    if ending is None:
        from watcher.commands.status import status  # noqa: PLC0415 - see above

        return status(daemon, asked.output, sys.stdout)
    from watcher.commands.run import run  # noqa: PLC0415 - see above

    return run(daemon, ending, once=asked.once)


if __name__ == "__main__":
    sys.exit(main())
