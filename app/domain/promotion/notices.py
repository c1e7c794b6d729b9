"""Notices about promotions, which people get through the receivers of alerts."""

from dataclasses import dataclass
from typing import Any

from app.domain.promotion.guard import CHANGED_OUTSIDE, OutsideMove
from app.domain.promotion.promotions import Promotion
from app.domain.times import rfc3339

WAITING_EVENT = "promotion_waiting"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice. `run_id` is the run in MLflow that says who was notified, `key` what identifies it there.

    `body` is what a webhook gets beside `event`; `title` and `text` are for people.
    """

    run_id: str
    key: str
    event: str
    title: str
    text: str
    body: dict[str, Any]


def waiting_notice(promotion: Promotion, url: str | None) -> Notice:
    """That a proposal waits for an approval. `url` is the model's page, None if it is not known."""
    proposal = promotion.proposal
    title = f"{proposal.by} proposes version {proposal.version.version} of {proposal.model} for {proposal.target}"
    before = ", ".join(str(held.version) for held in proposal.before)
    lines = [f"Reason: {proposal.reason}", f"There now: version {before}" if before else "There now: no version"]
    if proposal.override:
        lines.append("It passes over the gate: " + " ".join(promotion.evidence.get("why_not", ())))
    body = {
        "promotion_id": promotion.run_id,
        "name": proposal.model,
        "version": str(proposal.version.version),
        "target": proposal.target,
        "proposed_by": proposal.by,
        "reason": proposal.reason,
        "override": proposal.override,
        "url": url,
    }
    return Notice(promotion.run_id, "waiting", WAITING_EVENT, title, "\n".join(lines), body)


def outside_notice(move: OutsideMove, run_id: str, owner: str | None, url: str | None) -> Notice:
    """That somebody moved what is protected. `owner` is that of the version, or else of the model."""
    body = {
        "change_id": move.key,
        "name": move.model,
        "alias": move.alias,
        "from": None if move.old is None else str(move.old),
        "to": None if move.new is None else str(move.new),
        "not_before": rfc3339(move.not_before),
        "not_after": rfc3339(move.not_after),
        "owner": owner,
        "url": url,
    }
    return Notice(run_id, move.key, CHANGED_OUTSIDE, f"{move.model}: changed outside the tower", move.detail, body)
