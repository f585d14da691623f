"""What a step of the runbook is: something that can be carried out again without harm, and says how far it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from watcher.runbook.case import Case


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to: done; `later` (nothing failed, look again next pass); or skipped.

    `case_outcome` ends the case: `overtaken`, say, where somebody else changed the Deployment, and theirs stands.
    `hold` says why the case becomes a hold: a pause came between the decision and the step. `escalate` turns it into an
    escalation. `reason` names either. `again` names an earlier step that has to be done anew.
    """

    state: Literal["done", "later", "skipped"]
    result: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    case_outcome: str = ""
    hold: str = ""
    reason: str = ""
    escalate: str = ""
    again: str = ""


class Step(Protocol):
    """One item of the runbook, carried out against one outside system."""

    name: str
    lane: str
    write_ahead: bool

    def due(self, case: Case) -> bool:
        """Say whether what must come before it has come."""

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Do it, or find it done. Raises Fault; it is then tried again with backoff."""
