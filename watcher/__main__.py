"""The command line, `canary-watch`: says what the commands take, and starts them."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from watcher import __version__, quantities
from watcher.systems.fault import Fault

EPILOG = (
    "Exit codes: 0 all is well; 1 mistakes in the files, or what was asked could not be done; 2 a wrong command line."
)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="canary-watch",
        description="Watches rollouts in a Kubernetes cluster and carries the rollback runbook out on the bad ones.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"canary-watch {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run_parser(commands)
    _policy_parsers(commands)
    _pause_parsers(commands)
    status = commands.add_parser(
        "status",
        help="show rollouts under watch, verdicts, holds and open cases",
        description="Look at the cluster and at Prometheus once, as a pass does, and show what it would decide. "
        "Changes nothing, and needs no running daemon.",
    )
    _config(status)
    _cluster(status)
    _output(status)
    return top


def _run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run the daemon",
        description="Watch rollouts, judge them by the policies, and roll bad ones back. Ends within 2 s of SIGTERM; "
        "what was under way goes on from its case at the next start.",
        epilog=EPILOG,
    )
    _config(run)
    _cluster(run)
    run.add_argument("--dry-run", action="store_true", help="decide and report everything, change and send nothing")
    run.add_argument("--once", action="store_true", help="make one pass, finish what it started, and end")
    run.add_argument("--verbose", action="store_true", help="log every pass, also those that saw nothing new")


def _policy_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser(
        "validate",
        help="check policy files",
        description="Report every mistake of every file as file:line:column and what would be right. PromQL is checked "
        "offline. Exit code 1 where there is a mistake.",
    )
    validate.add_argument("policies", nargs="+", type=Path, metavar="POLICY", help="a policy file, or a folder of them")
    validate.add_argument("--config", type=Path, help="also check the policies against this config file's interval")
    _output(validate)
    commands.add_parser(
        "schema",
        help="print the JSON Schema of the policy file",
        description="Print the JSON Schema of the policy file, for editors and other linters.",
    )


def _pause_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pause = commands.add_parser(
        "pause",
        help="hold rollbacks of a Deployment",
        description="Set the pause annotation on a Deployment: a breach is then said and paged, and nothing is rolled back.",
    )
    pause.add_argument("subject", metavar="NAMESPACE/DEPLOYMENT")
    pause.add_argument(
        "--for", dest="duration", metavar="DURATION", help="as 30m or 2h; until it is resumed by default"
    )
    pause.add_argument("--reason", default="", metavar="TEXT", help="shown wherever the hold is shown")
    _cluster(pause)
    resume = commands.add_parser(
        "resume",
        help="take the pause off a Deployment",
        description="Remove the pause annotations from a Deployment. A breach that goes on is rolled back in the next pass.",
    )
    resume.add_argument("subject", metavar="NAMESPACE/DEPLOYMENT")
    _cluster(resume)


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="the config file")


def _cluster(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kubeconfig", metavar="FILE", help="where not in the cluster: this one, else $KUBECONFIG")
    command.add_argument("--context", metavar="NAME", help="the kubeconfig's context; its current one by default")


def _output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", choices=("text", "json"), default="text", help="text by default")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Usage mistakes end in argparse's own way, with code 2."""
    asked = parser().parse_args(arguments)
    verbose = bool(getattr(asked, "verbose", False))
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("canary-watch").setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        return _dispatch(asked)
    except (Fault, ValueError) as error:
        sys.stderr.write(f"canary-watch: {error}\n")
        return 1
    except BrokenPipeError:
        return 1


def _dispatch(asked: argparse.Namespace) -> int:
    """Start the command; each is imported when it is asked for, so that `validate` doesn't load a Kubernetes client."""
    if asked.command in ("validate", "schema"):
        from watcher.commands import policies  # noqa: PLC0415 - see above

        if asked.command == "schema":
            return policies.schema(sys.stdout)
        return policies.validate(asked.policies, asked.config, asked.output, sys.stdout)
    from watcher.commands.setup import Target, build, open_cluster  # noqa: PLC0415 - see above

    target = Target(getattr(asked, "config", None), asked.kubeconfig, asked.context)
    if asked.command in ("pause", "resume"):
        from watcher.commands import pauses  # noqa: PLC0415 - see above

        subject = pauses.parse_subject(asked.subject)
        if asked.command == "resume":
            return pauses.resume(open_cluster(target), subject, sys.stdout)
        until = time.time() + quantities.longer_than_zero(asked.duration) if asked.duration else None
        notes = pauses.pause_annotations(until, asked.reason)
        return pauses.pause(open_cluster(target), subject, notes, sys.stdout)
    daemon = build(target, dry_run=asked.command == "status" or asked.dry_run, err=sys.stderr)
    if daemon is None:
        return 1
    if asked.command == "status":
        from watcher.commands.status import status  # noqa: PLC0415 - see above

        return status(daemon, asked.output, sys.stdout)
    from watcher.commands.run import run  # noqa: PLC0415 - see above

    return run(daemon, once=asked.once)


if __name__ == "__main__":
    sys.exit(main())
