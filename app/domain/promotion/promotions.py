"""A promotion: a proposal with its evidence, and the steps that were taken since. Steps are only added."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.errors import InvalidInput
from app.domain.registry.names import LONGEST_ALIAS
from app.domain.registry.stages import STAGES_IN_USE
from app.domain.times import rfc3339

ALIAS, STAGE = "alias", "stage"
STAGES = STAGES_IN_USE
"""The stages that a version can be promoted to."""

PROPOSAL, ROLLBACK = "proposal", "rollback"

APPROVED, REFUSED, WITHDRAWN, EXPIRED = "approved", "refused", "withdrawn", "expired"
BEGUN, MOVED, RECORDED, TAKEN_BACK = "begun", "moved", "recorded", "taken_back"
STEPS = (APPROVED, REFUSED, WITHDRAWN, EXPIRED, BEGUN, MOVED, RECORDED, TAKEN_BACK)

WAITING, MOVING, DONE = "waiting", "moving", "done"
STATES = (WAITING, MOVING, DONE, REFUSED, WITHDRAWN, EXPIRED, TAKEN_BACK)

SERVICE = "control-tower"
"""Who took a step that this service took by itself."""

LONGEST_REASON = 1000
MOST_METRICS = 50
"""How many metrics a proposal may name, and how many rows of a comparison are kept as evidence."""

_ALIAS = re.compile(r"[\w-]+\Z")
_VERSION_ALIAS = re.compile(r"[vV]\d+\Z")


@dataclass(frozen=True, slots=True)
class ExactVersion:
    """A version by its number and its creation time (milliseconds): what is made again is another version."""

    version: int
    created: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants to have moved: `version`, to the alias or stage `place`.

    `before` is what was there when it was proposed, the highest version first. `origin` is `PROPOSAL` or `ROLLBACK`,
    `needed` how many other people have to approve, `at` a time in milliseconds. `margins` and `metrics` are what the
    comparison was asked for. `override`: the gate was passed over, for the reason given. `head` is the key of the last
    move of the place that was recorded then, None if nothing was recorded. `effective` are the versions that were
    effectively in the stage that the place stands for, None where the gate compared with what was in the place itself.
    """

    model: str
    model_created: int
    kind: str
    place: str
    version: ExactVersion
    before: tuple[ExactVersion, ...]
    by: str
    at: int
    reason: str
    needed: int
    origin: str = PROPOSAL
    override: bool = False
    margins: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    head: str | None = None
    effective: tuple[ExactVersion, ...] | None = None

    @property
    def alias_or_stage(self) -> tuple[str | None, str | None]:
        """The alias that is moved, and the stage; one of them is None."""
        return (self.place, None) if self.kind == ALIAS else (None, self.place)

    @property
    def target(self) -> str:
        """The alias or the stage, in words."""
        return f"the alias {self.place}" if self.kind == ALIAS else f"the stage {self.place}"

    def asks_the_same(self, other: "Proposal") -> bool:
        """Whether both ask for the same, made by the same person while the same versions were in the place."""
        return replace(self, at=0, head=None, effective=None) == replace(other, at=0, head=None, effective=None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for: an alias or a stage, `place`, and why. The rest as in `Proposal`."""

    kind: str
    place: str
    reason: str
    override: bool = False
    margins: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a promotion, at a time in milliseconds. `facts` are JSON-shaped, of the kind of the step."""

    number: int
    kind: str
    at: int
    by: str
    note: str = ""
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """A proposal with its evidence (JSON-shaped) and the steps so far, in order. `run_id` is its run in MLflow.

    `is_open`: the run has not ended, since something is left to decide or to do.
    """

    run_id: str
    proposal: Proposal
    evidence: Mapping[str, Any]
    steps: tuple[Step, ...]
    is_open: bool

    def step(self, kind: str) -> Step | None:
        """The first step of a kind."""
        return next((step for step in self.steps if step.kind == kind), None)

    @property
    def state(self) -> str:
        """One of `STATES`. What was begun can no longer be refused."""
        if self.step(MOVED):
            return DONE
        if self.step(TAKEN_BACK):
            return TAKEN_BACK
        if self.step(BEGUN):
            return MOVING
        return next((step.kind for step in self.steps if step.kind in (REFUSED, WITHDRAWN, EXPIRED)), WAITING)

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who approved, the first one first."""
        return tuple(dict.fromkeys(step.by for step in self.steps if step.kind == APPROVED))

    @property
    def is_approved(self) -> bool:
        """Whether enough people approved."""
        return len(self.approvers) >= self.proposal.needed

    @property
    def actor(self) -> str:
        """Who set the move going: the last who approved, or who asked for it where nobody had to approve."""
        return self.approvers[-1] if self.approvers else self.proposal.by

    def next_step(self, kind: str, at: int, by: str, note: str = "", facts: Mapping[str, Any] | None = None) -> Step:
        """The step that follows the present ones."""
        return Step(max((step.number for step in self.steps), default=0) + 1, kind, at, by, note, facts)

    def with_step(self, step: Step) -> "Promotion":
        return replace(self, steps=(*self.steps, step))


def place_named(alias: str | None, stage: str | None) -> tuple[str, str]:
    """The kind of a place and its name, of which a client gives one or the other. Raises `InvalidInput`."""
    if alias is not None and stage is None:
        return ALIAS, check_alias(alias)
    if stage is not None and alias is None:
        return STAGE, stage
    raise InvalidInput("Name an alias or a stage, and not both.")


def check_alias(alias: str) -> str:
    """An alias that MLflow takes. Raises `InvalidInput`."""
    if not _ALIAS.match(alias) or len(alias) > LONGEST_ALIAS:
        raise InvalidInput(f"alias: Must be 1 to {LONGEST_ALIAS} letters, digits, underscores and dashes.")
    if alias.lower() == "latest" or _VERSION_ALIAS.match(alias):
        raise InvalidInput("alias: MLflow reserves latest, and v with a number.")
    return alias


def promotion_info(promotion: Promotion, expires_ms: int) -> dict[str, Any]:
    """A promotion as clients see it. `expires_ms` is how long a proposal waits."""
    proposal = promotion.proposal
    last = promotion.steps[-1] if promotion.steps else None
    ended = promotion.state not in (WAITING, MOVING)
    return {
        "id": promotion.run_id,
        "model_name": proposal.model,
        "version": str(proposal.version.version),
        "alias": proposal.place if proposal.kind == ALIAS else None,
        "stage": proposal.place if proposal.kind == STAGE else None,
        "before": [str(held.version) for held in proposal.before],
        "state": promotion.state,
        "why": _why(promotion),
        "origin": proposal.origin,
        "override": proposal.override,
        "proposed_by": proposal.by,
        "proposed_at": rfc3339(proposal.at),
        "reason": proposal.reason,
        "approvals_needed": proposal.needed,
        "approved_by": list(promotion.approvers),
        "expires_at": rfc3339(proposal.at + expires_ms) if promotion.state == WAITING else None,
        "ended_at": rfc3339(_ended_at(promotion)) if ended and last else None,
        "evidence": promotion.evidence,
        "steps": [
            {"step": step.kind, "at": rfc3339(step.at), "by": step.by, "note": step.note} for step in promotion.steps
        ],
    }


def _why(promotion: Promotion) -> str | None:
    """Why it did not come to a move; None where it did, or still may."""
    step = promotion.step(promotion.state)
    return step.note if step else None


def _ended_at(promotion: Promotion) -> int | None:
    step = promotion.step(MOVED if promotion.state == DONE else promotion.state)
    return step.at if step else None


def newest_first(promotions: Sequence[Promotion]) -> list[Promotion]:
    """In the order of lists."""
    return sorted(promotions, key=lambda one: (-one.proposal.at, one.run_id))
