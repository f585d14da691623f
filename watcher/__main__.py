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
from watcher.commands import texts
from watcher.commands.arguments import Parser, Target, pause_duration, revision, subject
from watcher.commands.ending import Ending
from watcher.systems.fault import Fault


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    top = Parser(
        prog="canary-watch",
        description="Watches rollouts in a Kubernetes cluster and carries the rollback runbook out on the bad ones.",
        epilog=texts.TOP,
    )
    top.add_argument("--version", action="version", version=f"canary-watch {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _run_parser(commands)
    _policy_parsers(commands)
    _pause_parsers(commands)
    _rollback_parser(commands)
    status = commands.add_parser(
        "status",
        help="show rollouts under watch, verdicts, holds and open cases",
        description="Look at the cluster and at Prometheus once, as a pass does, and show what it would decide.\n"
        "Changes nothing, and needs no running daemon and no secret of PagerDuty or Slack.",
        epilog=texts.STATUS,
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
        epilog=texts.RUN,
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
        epilog=texts.VALIDATE,
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
        epilog=texts.SCHEMA,
    )


def _pause_parsers(commands: argparse._SubParsersAction[Parser]) -> None:
    pause = commands.add_parser(
        "pause",
        help="hold rollbacks of a Deployment",
        description="Set the pause annotation on a Deployment: a breach is then said and paged, and not rolled back.\n"
        "Pausing again replaces the time and the reason.",
        epilog=texts.PAUSE,
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
        epilog=texts.RESUME,
    )
    _subject(resume)
    _cluster(resume)


def _rollback_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    rollback = commands.add_parser(
        "rollback",
        help="order a rollback by hand",
        description="Open a case for a Deployment's newest revision, which the daemon then rolls back.",
        epilog=texts.ROLLBACK,
    )
    _subject(rollback)
    rollback.add_argument(
        "--to-revision", type=revision, default=0, metavar="N", help="this one; by default the newest good one"
    )
    rollback.add_argument(
        "--reason", default="ordered by hand", metavar="TEXT", help="said in the message, the page and the change cause"
    )
    rollback.add_argument("--no-wait", action="store_true", help="end once the case is opened")
    _config(rollback)
    _cluster(rollback)


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
    if asked.command == "rollback":
        from watcher.commands.rollback import Asked, rollback  # noqa: PLC0415 - see above

        order = Asked(asked.subject, asked.to_revision, asked.reason, not asked.no_wait)
        return rollback(daemon, order, sys.stdout, sys.stderr)
    if ending is None:
        from watcher.commands.status import status  # noqa: PLC0415 - see above

        return status(daemon, asked.output, sys.stdout)
    from watcher.commands.run import run  # noqa: PLC0415 - see above

    return run(daemon, ending, once=asked.once)


if __name__ == "__main__":
    sys.exit(main())
