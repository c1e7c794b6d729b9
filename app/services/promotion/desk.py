"""The promotion desk takes proposals, approvals and rollbacks, and has the executor carry them out."""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

from app.domain.errors import Conflict, Forbidden, NotFound, TowerError
from app.domain.messages import MODEL_NOT_FOUND, NO_PROMOTION, renamed
from app.domain.ports import Clock, Locks, WritingGateway
from app.domain.promotion.guard import PRODUCTION, outside_moves
from app.domain.promotion.promotions import (
    ALIAS,
    APPROVED,
    REFUSED,
    ROLLBACK,
    TAKEN_BACK,
    WAITING,
    WITHDRAWN,
    ExactVersion,
    Promotion,
    Proposal,
    Wanted,
)
from app.domain.promotion.standing import IN_PLACE, Place, compared_with, is_there, moved_meanwhile
from app.domain.promotion.tags import proposal_tags
from app.domain.registry.names import LONGEST_NAME, version_number
from app.domain.registry_history.moves import earlier_holders, place_states
from app.domain.times import HOUR_MS
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.promotion.executor import Executor
from app.services.promotion.reader import Reader
from app.services.promotion.teller import Teller

log = logging.getLogger(__name__)

# Models that share a lock wait for each other. A lock file for each model ever promoted would be litter.
_STRIPES = 64


class PromotionDesk:
    """The agent's `PromotionWrites`. Only one process at a time changes the promotions of a model.

    `settle` waits until the other hosts have what was changed. `protected` are the guarded aliases, in lower case.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        reader: Reader,
        executor: Executor,
        recorder: ChangeRecorder,
        locks: Locks,
        clock: Clock,
        settle: Callable[[], None],
        teller: Teller,
        approvals: int,
        evidence_hours: float,
        protected: Collection[str],
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._executor = executor
        self._recorder = recorder
        self._locks = locks
        self._clock = clock
        self._settle = settle
        self._teller = teller
        self._approvals = approvals
        self._evidence_hours = evidence_hours
        self._protected = protected

    def propose(self, name: str, version: str, wanted: Wanted, by: str, may_approve: bool) -> Promotion:
        if wanted.override and not may_approve:
            raise Forbidden("Only a key with the role approve may pass over the gate. Leave out override.")
        if not self._approvals and not may_approve:
            raise Forbidden("Nobody else has to approve (PROMOTION_APPROVALS=0): this needs a key with role approve.")
        with self._lock(name):
            place = self._reader.place(name, wanted.kind, wanted.place)
            held = _version_in(place, version)
            proposal = Proposal(
                name, place.model_created or 0, wanted.kind, wanted.place, held, place.held, by, self._clock(),
                wanted.reason, self._approvals, override=wanted.override, margins=wanted.margins,
                metrics=wanted.metrics,
            )  # fmt: skip
            proposal = self._with_standing(proposal, place)
            if is_there(place, held) and not self._was_moved_outside(name, place):
                raise Conflict(f"Version {held.version} has {proposal.target} already.")
            known = self._same(proposal, place)
            if known is not None:
                return known
            evidence = self._reader.evidence(proposal, place)
            if not evidence["passes"] and not wanted.override:
                why = " ".join(evidence["why_not"])
                path = f"/model/{quote(name, safe='', errors='replace')}/compare"
                raise Conflict(f"The gate does not let it pass. {why} See GET {path}.")
            promotion = self._opened(proposal, evidence)
            if promotion.is_approved:
                promotion = _carried_out(self._executor.carry_out(promotion, place))
        self._settle()
        return promotion

    def approve(self, name: str, promotion_id: str, by: str, note: str) -> Promotion:
        with self._lock(name):
            promotion = self._waiting(name, promotion_id)
            if by == promotion.proposal.by:
                raise Forbidden("Nobody approves their own proposal. Another key with the role approve has to.")
            if by in promotion.approvers:
                raise Conflict(f"{by} has approved it already: somebody else has to.")
            place, why = self._executor.checked(promotion)
            if why is not None:
                raise Conflict(why)
            promotion = self._executor.add(promotion, APPROVED, by, note)
            if promotion.is_approved:
                promotion = _carried_out(self._executor.carry_out(promotion, place))
        self._settle()
        return promotion

    def end(self, name: str, promotion_id: str, by: str, may_approve: bool, reason: str) -> Promotion:
        with self._lock(name):
            promotion = self._waiting(name, promotion_id)
            is_own = by == promotion.proposal.by
            if not is_own and not may_approve:
                raise Forbidden("Only who proposed it, or a key with the role approve, may do this.")
            ended = self._executor.end(promotion, WITHDRAWN if is_own else REFUSED, by, reason)
        self._settle()
        return ended

    def roll_back(self, name: str, wanted: Wanted, since: str, to: str | None, by: str) -> Promotion:
        with self._lock(name):
            place = self._reader.place(name, wanted.kind, wanted.place)
            if place.model_created is None:
                raise NotFound(MODEL_NOT_FOUND)
            number = version_number(since)
            if [held.version for held in place.held] != [number]:
                now = " and ".join(str(held.version) for held in place.held) or "none"
                raise Conflict(f"The {wanted.kind} {wanted.place} is not on version {since}: now it is {now}.")
            version = self._version_before(name, place, number or 0, to)
            proposal = Proposal(
                name, place.model_created, wanted.kind, wanted.place, version, place.held, by, self._clock(),
                wanted.reason, 0, ROLLBACK,
            )  # fmt: skip
            promotion = self._opened(proposal, {})
            promotion = _carried_out(self._executor.carry_out(promotion, place))
        self._settle()
        return promotion

    def tick(self) -> None:
        """The scheduler's tick: look after the promotions that are open. Failures are logged.

        Those that a process left in the middle are finished or taken back, those that waited for too long end, and
        receivers are notified of those that wait.
        """
        try:
            still_open = self._executor.promotions(None, only_open=True)
        except TowerError as error:
            log.warning("The open promotions cannot be read: %s", error.detail)
            return
        waiting = []
        for run, promotion in still_open:
            is_idle = promotion.state == WAITING and not promotion.is_approved
            if is_idle and not self._executor.is_expired(promotion):
                waiting.append((run, promotion))
                continue
            try:
                self._finish(promotion.run_id)
            except TowerError as error:
                name = promotion.proposal.model[:300]
                log.warning("A promotion of %r is neither finished nor taken back yet: %s", name, error.detail)
        self._teller.tell_waiting(waiting)

    def _finish(self, run_id: str) -> None:
        # The record says which name the model has by now.
        self._recorder.read_newest()
        waiting, _ = self._executor.promotion(run_id)
        if waiting is None:
            return
        with self._lock(waiting.proposal.model):
            promotion, _ = self._executor.promotion(run_id)
            if promotion is not None and promotion.is_open:
                before = promotion.state
                finished = self._executor.finish(promotion)
                if finished.state != before:
                    name = promotion.proposal.model[:300]
                    log.info("A promotion of %r was left %s, and is %s now", name, before, finished.state)

    def _was_moved_outside(self, name: str, place: Place) -> bool:
        """Whether what is in a protected place came there outside this service, so that it may be approved now."""
        lineage = self._recorder.lineage(name, place.model_created or 0)
        moves = outside_moves(lineage, self._protected, 0) if lineage else []
        where = place.name if place.kind == ALIAS else None
        return (place.kind == ALIAS or place.name == PRODUCTION) and any(move.alias == where for move in moves)

    def _version_before(self, name: str, place: Place, number: int, to: str | None) -> ExactVersion:
        """The version that was there before, as the history of the registry has it. Raises `Conflict`."""
        lineage = self._recorder.lineage(name, place.model_created or 0)
        stage, alias = (None, place.name) if place.kind == ALIAS else (place.name, None)
        earlier = [ExactVersion(*row) for row in earlier_holders(lineage, alias, stage, number)] if lineage else []
        chosen = [held for held in earlier if to in (None, str(held.version))]
        if not chosen:
            target = f"the {place.kind} {place.name}"
            if to is None:
                raise Conflict(f"No other version is known to have had {target}. Propose a version instead.")
            if to == str(number):
                raise Conflict(f"Version {to} has {target} already.")
            states = place_states(lineage, alias, stage) if lineage else []
            if version_number(to) in {held for state in states for held in state.versions}:
                why = f"Version {to} had {target}, and then version {number} came back"
                raise Conflict(f"{why}: a rollback goes to what was there before that. Propose a version instead.")
            raise Conflict(f"Version {to} is not known to have had {target}. Propose a version instead.")
        wanted = chosen[0]
        if place.has(wanted):
            return wanted
        became = "was deleted and made again" if wanted.version in place.versions else "was deleted"
        rest = [held for held in earlier[earlier.index(wanted) + 1 :] if place.has(held)]
        advice = f'The next is version {rest[0].version}: send "to": "{rest[0].version}".' if rest else (
            "There is no other. Propose a version instead."
        )  # fmt: skip
        raise Conflict(f"Version {wanted.version}, which was there before, {became}. {advice}")

    def _with_standing(self, proposal: Proposal, place: Place) -> Proposal:
        """The proposal with what an approval has to find unchanged beside what is in the place itself."""
        lineage = self._recorder.lineage(proposal.model, proposal.model_created)
        head = place_states(lineage, *proposal.alias_or_stage)[-1].key if lineage else None
        is_compared = compared_with(place, proposal.version)[1] == IN_PLACE
        return replace(proposal, head=head, effective=None if is_compared else place.effective)

    def _same(self, proposal: Proposal, place: Place) -> Promotion | None:
        """What the same person has proposed already and still waits. If it is out of date, it is withdrawn."""
        for _, known in self._executor.promotions(proposal.model, only_open=True):
            if known.state != WAITING or not known.proposal.asks_the_same(proposal):
                continue
            is_fresh = proposal.at - known.proposal.at <= self._evidence_hours * HOUR_MS
            if is_fresh and not moved_meanwhile(known.proposal, place) and not self._executor.moved_since(known):
                return known
            self._executor.end(known, WITHDRAWN, proposal.by, "It was proposed again, with new evidence.")
        return None

    def _opened(self, proposal: Proposal, evidence: dict[str, object]) -> Promotion:
        name = f"promote {proposal.model[: LONGEST_NAME // 2]} v{proposal.version.version}"
        run_id = self._gateway.open_promotion_run(proposal_tags(proposal, evidence), name)
        self._executor.between("proposed")
        return Promotion(run_id, proposal, evidence, (), True)

    def _waiting(self, name: str, promotion_id: str) -> Promotion:
        """A promotion that waits, as MLflow has it now. Raises `NotFound`, and `Conflict` if it waits no longer."""
        promotion, name_before = self._executor.promotion(promotion_id)
        if promotion is not None and name == name_before != promotion.proposal.model:
            raise Conflict(renamed(promotion.proposal.model))
        if promotion is None or promotion.proposal.model != name:
            raise NotFound(NO_PROMOTION)
        if promotion.state == WAITING and self._executor.is_expired(promotion):
            promotion = self._executor.finish(promotion)
        if promotion.state != WAITING or promotion.is_approved:
            raise Conflict(f"It waits no longer: it is {promotion.state.replace('_', ' ')}.")
        return promotion

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Let nobody else decide about a model meanwhile, and know what anybody has recorded of it so far."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=1).digest()
        with self._locks.hold(f"promotion-{digest[0] % _STRIPES}", self._gateway.patience):
            self._recorder.read_newest()
            yield


def _version_in(place: Place, version: str) -> ExactVersion:
    number = version_number(version)
    row = place.versions.get(number) if number is not None else None
    if place.model_created is None:
        raise NotFound(MODEL_NOT_FOUND)
    if row is None:
        raise NotFound(f"The registered model has no version {version[:50]}.")
    return ExactVersion(row.version, row.created)


def _carried_out(promotion: Promotion) -> Promotion:
    """The same promotion. Raises `Conflict` if it was taken back."""
    if promotion.state == TAKEN_BACK:
        step = promotion.step(TAKEN_BACK)
        raise Conflict(step.note if step else "It was taken back.")
    return promotion
