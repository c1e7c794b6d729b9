"""The executor carries out promotions. It writes each step before it does what the step announces.

Each act may be repeated. So if a process ends in the middle of a promotion, another process finishes the promotion, or
takes it back, as its record says.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain.errors import MlflowDenied, MlflowMissing, MlflowRefused, MlflowUnavailable, TowerError
from app.domain.own_runs import OwnRun
from app.domain.ports import Clock, WritingGateway
from app.domain.promotion.promotions import (
    ALIAS,
    BEGUN,
    DONE,
    EXPIRED,
    MOVED,
    MOVING,
    RECORDED,
    SERVICE,
    TAKEN_BACK,
    WAITING,
    Promotion,
)
from app.domain.promotion.renames import Renames
from app.domain.promotion.standing import (
    Place,
    gone,
    is_there,
    moved_meanwhile,
    moved_since,
    objection,
    rolled_back_since,
)
from app.domain.promotion.tags import promotion_from, step_tags
from app.domain.registry_history.moves import Move, has_seen, heads_of
from app.domain.times import HOUR_MS, TOLERANCE_MS
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.promotion.reader import Reader

log = logging.getLogger(__name__)

# What was begun longer ago, and is not moved yet, is taken back: nobody expects it any more. In milliseconds.
_LONGEST_MS = 600_000
_AGAIN = "It is tried again for ten minutes."


def _nothing(_: str) -> None:
    """What happens between two steps."""


class Executor:
    """Carries promotions out. The caller holds the lock of the model, and has read the promotion under it.

    `look_up` has a model read again for the mirror. `between` is called after each step with its name: tests end the
    process there.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        reader: Reader,
        recorder: ChangeRecorder,
        look_up: Callable[[Sequence[str]], object],
        clock: Clock,
        evidence_hours: float,
        expires_hours: float,
        between: Callable[[str], None] = _nothing,
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._recorder = recorder
        self._look_up = look_up
        self._clock = clock
        self._evidence_hours = evidence_hours
        self._expires_hours = expires_hours
        self.between = between

    def checked(self, promotion: Promotion) -> tuple[Place, str | None]:
        """What is in the place now, and why a promotion may not be carried out; None if it may."""
        proposal = promotion.proposal
        place = self._reader.place(proposal.model, proposal.kind, proposal.place)
        row = place.versions.get(proposal.version.version)
        verdict = self._reader.verdict(row)[0] if row else None
        why = objection(promotion, place, verdict, self._clock(), self._evidence_hours)
        return place, why or self.moved_since(promotion)

    def moved_since(self, promotion: Promotion) -> str | None:
        """Why a proposal is out of date if its place was moved and moved back; None if no such move is known."""
        proposal = promotion.proposal
        others = self.promotions(proposal.model, since=max(0, proposal.at - TOLERANCE_MS))
        lineage = self._recorder.lineage(proposal.model, proposal.model_created)
        # The rollbacks first: they have the reason, and MLflow has them before the history does.
        why = rolled_back_since(promotion, [other for _, other in others])
        return why or (moved_since(proposal, lineage) if lineage else None)

    def promotions(
        self, name: str | None, *, only_open: bool = False, since: int | None = None
    ) -> Sequence[tuple[OwnRun, Promotion]]:
        """The promotions of a registered model, whatever its name was, or of all, with their runs; newest first."""
        renames = Renames(self._recorder.lineages())
        names = renames.names(name) if name is not None else [None]
        runs = [run for each in names for run in self._gateway.promotion_runs(each, only_open, since)]
        read = [(run, renames.followed(promotion)) for run in runs if (promotion := promotion_from(run))]
        return [(run, promotion) for run, promotion in read if name in (None, promotion.proposal.model)]

    def promotion(self, run_id: str) -> tuple[Promotion | None, str]:
        """A promotion under the name that its model has now, and the name that it was proposed under."""
        run = self._gateway.find_promotion_run(run_id)
        promotion = promotion_from(run) if run else None
        if promotion is None:
            return None, ""
        return Renames(self._recorder.lineages()).followed(promotion), promotion.proposal.model

    def is_expired(self, promotion: Promotion) -> bool:
        """Whether a proposal has waited for too long."""
        return self._clock() - promotion.proposal.at > self._expires_hours * HOUR_MS

    def add(
        self, promotion: Promotion, kind: str, by: str, note: str = "", facts: Mapping[str, Any] | None = None
    ) -> Promotion:
        """Write a step."""
        step = promotion.next_step(kind, self._clock(), by, note, facts)
        self._gateway.write_promotion_tags(promotion.run_id, step_tags(step))
        self.between(kind)
        return promotion.with_step(step)

    def end(self, promotion: Promotion, kind: str, by: str, note: str) -> Promotion:
        """Write the step after which nothing is left to do, and end the run."""
        promotion = self.add(promotion, kind, by, note)
        self._gateway.end_promotion_run(promotion.run_id)
        self.between("ended")
        return promotion

    def carry_out(self, promotion: Promotion, place: Place | None = None) -> Promotion:
        """Carry out what was approved, or take it back if something speaks against it. Raises `MlflowUnavailable`.

        `place` is what the caller has just checked.
        """
        if place is None:
            place, why = self.checked(promotion)
            if why is not None:
                return self.end(promotion, TAKEN_BACK, SERVICE, why)
        moves = place.moves(promotion.proposal.version)
        lineage = self._recorder.lineage(promotion.proposal.model, promotion.proposal.model_created)
        facts = {"moves": moves, "heads": heads_of(lineage, moves) if lineage else {}}
        return self._move(self.add(promotion, BEGUN, promotion.actor, "", facts))

    def finish(self, promotion: Promotion) -> Promotion:
        """Finish or take back what another process has left. Raises `MlflowUnavailable`."""
        state = promotion.state
        if state == WAITING and promotion.is_approved:
            return self.carry_out(promotion)
        if state == WAITING and self.is_expired(promotion):
            return self.end(promotion, EXPIRED, SERVICE, f"Nobody decided for {self._expires_hours:g} hours.")
        if state == MOVING:
            return self._go_on(promotion)
        if state == DONE:
            return self._settle(promotion)
        if state != WAITING:
            self._gateway.end_promotion_run(promotion.run_id)
        return promotion

    def _go_on(self, promotion: Promotion) -> Promotion:
        proposal = promotion.proposal
        place = self._reader.place(proposal.model, proposal.kind, proposal.place)
        if is_there(place, proposal.version):
            return self._moved(promotion)
        begun = promotion.step(BEGUN)
        since = begun.at if begun else 0
        lineage = self._recorder.lineage(proposal.model, proposal.model_created)
        if lineage is not None and has_seen(lineage, _moves(promotion), _heads(promotion), since):
            return self._moved(promotion, "It was moved, and somebody else has moved it on since.")
        why = gone(proposal, place) or moved_meanwhile(proposal, place)
        if why is None and self._clock() - since > _LONGEST_MS:
            why = "It was begun and not moved within ten minutes, since this service or MLflow was down."
        if why is not None:
            return self.end(promotion, TAKEN_BACK, SERVICE, why)
        return self._move(promotion)

    def _move(self, promotion: Promotion) -> Promotion:
        proposal = promotion.proposal
        try:
            if proposal.kind == ALIAS:
                self._gateway.set_alias(proposal.model, proposal.place, proposal.version.version)
            else:
                self._gateway.move_to_stage(proposal.model, proposal.version.version, proposal.place)
        except (MlflowRefused, MlflowMissing, MlflowDenied) as error:
            return self.end(promotion, TAKEN_BACK, SERVICE, f"MLflow did not move it: {error.detail}")
        self.between("written")
        place = self._reader.place(proposal.model, proposal.kind, proposal.place)
        if not is_there(place, proposal.version) and moved_meanwhile(proposal, place) is None:
            # What answered may not have been MLflow. The next tick goes on.
            raise MlflowUnavailable(f"MLflow took the move of {proposal.target}, and does not show it. {_AGAIN}")
        return self._moved(promotion)

    def _moved(self, promotion: Promotion, note: str = "") -> Promotion:
        moved = self.add(promotion, MOVED, promotion.actor, note)
        log.info("%s of %r is on version %d now", moved.proposal.target, *_what(moved))
        try:
            self._look_up([moved.proposal.model])
            return self._settle(moved)
        except TowerError as error:
            # It is moved, and the record says so: the rest is done with the next tick.
            log.warning("A promotion is done, and not in the history yet: %s", error.detail)
            return moved

    def _settle(self, promotion: Promotion) -> Promotion:
        """Put what was moved into the history of the registry, and end the run."""
        begun, moved = promotion.step(BEGUN), promotion.step(MOVED)
        if begun is not None and moved is not None and promotion.step(RECORDED) is None:
            known = self._recorder.record_moves(
                promotion.proposal.model,
                promotion.proposal.model_created,
                _moves(promotion),
                _heads(promotion),
                promotion.actor,
                begun.at,
                moved.at,
            )
            if known:
                promotion = self.add(promotion, RECORDED, SERVICE)
            elif self._clock() - moved.at < _LONGEST_MS:
                # The recorder has yet to look at this model, or to write what it saw. Without a mirror it never does.
                return promotion
        self._gateway.end_promotion_run(promotion.run_id)
        self.between("ended")
        return promotion


def _moves(promotion: Promotion) -> Sequence[Move]:
    """What was begun to be moved, as the step says."""
    begun = promotion.step(BEGUN)
    rows = begun.facts["moves"] if begun and begun.facts else ()
    return [(subject, old, new) for subject, old, new in rows]


def _heads(promotion: Promotion) -> Mapping[str, str]:
    """The last recorded changes of what was begun to be moved, as the step says."""
    begun = promotion.step(BEGUN)
    heads = begun.facts.get("heads") if begun and begun.facts else None
    return heads if isinstance(heads, dict) else {}


def _what(promotion: Promotion) -> tuple[str, int]:
    return promotion.proposal.model[:300], promotion.proposal.version.version
