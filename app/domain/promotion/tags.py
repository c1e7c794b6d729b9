"""Promotions as tags of runs in MLflow: the proposal and its evidence when the run is made, and then a tag a step."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from app.domain.errors import MISFITS
from app.domain.own_runs import LONGEST_TAG, OwnRun
from app.domain.promotion.promotions import ALIAS, STAGE, STEPS, ExactVersion, Promotion, Proposal, Step

PREFIX = "control_tower."
MODEL = PREFIX + "promotion_model"
GUARD = PREFIX + "guard"
"""The tag of the run that says since when moves outside this service are noticed."""
_PROPOSAL, _EVIDENCE, _STEP, _NOTIFIED = (
    PREFIX + "promotion", PREFIX + "evidence.", PREFIX + "step.", PREFIX + "notified.",
)  # fmt: skip


def promotions_experiment(monitoring_experiment: str) -> str:
    """The name of the experiment that holds the promotions, beside that of the registrations."""
    return f"{monitoring_experiment}-promotions"


def model_key(name: str) -> str:
    """The value of the tag by which the promotions of a model are searched. A hash, so that any name can be used."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def proposal_tags(proposal: Proposal, evidence: Mapping[str, Any]) -> dict[str, str]:
    """A proposal and its evidence. The evidence is cut into as many tags as it needs."""
    text = orjson.dumps(evidence).decode()
    parts = [text[start : start + LONGEST_TAG] for start in range(0, len(text), LONGEST_TAG)]
    return {
        MODEL: model_key(proposal.model),
        _PROPOSAL: orjson.dumps(asdict(proposal)).decode(),
        **{f"{_EVIDENCE}{number}": part for number, part in enumerate(parts)},
    }


def step_tags(step: Step) -> dict[str, str]:
    """A step. Its key follows from its content, so that hosts which share no locks do not overwrite each other's."""
    text = orjson.dumps([step.number, step.kind, step.at, step.by, step.note, step.facts]).decode()
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return {f"{_STEP}{step.number:03d}.{step.kind}.{digest}": text}


def notified_tags(receiver_id: str, at: int) -> dict[str, str]:
    """That a receiver took the notice of a proposal, at a time in milliseconds."""
    return {f"{_NOTIFIED}{receiver_id}": str(at)}


def is_notified(run: OwnRun, receiver_id: str) -> bool:
    """Whether a receiver took the notice of a proposal."""
    return f"{_NOTIFIED}{receiver_id}" in run.tags


def promotion_from(run: OwnRun) -> Promotion | None:
    """The promotion that a run holds; None if the run holds none, or cannot be read."""
    try:
        row = orjson.loads(run.tags[_PROPOSAL])
        evidence = orjson.loads("".join(_parts(run.tags)))
        steps = [_step(text) for key, text in run.tags.items() if key.startswith(_STEP)]
        promotion = Promotion(run.run_id, _proposal(row), evidence, tuple(sorted(steps, key=_place)), run.is_open)
    except MISFITS:
        return None
    return promotion if isinstance(evidence, dict) else None


def _parts(tags: Mapping[str, str]) -> Iterable[str]:
    number = 0
    while (part := tags.get(f"{_EVIDENCE}{number}")) is not None:
        yield part
        number += 1


def _proposal(row: Mapping[str, Any]) -> Proposal:
    head, effective = row.get("head"), row.get("effective")
    if row["kind"] not in (ALIAS, STAGE) or not isinstance(row["model"], str) or not isinstance(row["place"], str):
        raise ValueError("not a proposal")
    return Proposal(
        row["model"], int(row["model_created"]), row["kind"], row["place"], _held(row["version"]),
        tuple(map(_held, row["before"])), str(row["by"]),
        int(row["at"]), str(row["reason"]), int(row["needed"]), str(row["origin"]), bool(row["override"]),
        tuple(map(str, row["margins"])), tuple(map(str, row["metrics"])), None if head is None else str(head),
        None if effective is None else tuple(map(_held, effective)),
    )  # fmt: skip


def _held(row: Mapping[str, Any]) -> ExactVersion:
    return ExactVersion(int(row["version"]), int(row["created"]))


def _step(text: str) -> Step:
    number, kind, at, by, note, facts = orjson.loads(text)
    if kind not in STEPS:
        raise ValueError("not a step")
    return Step(int(number), kind, int(at), str(by), str(note), facts)


def _place(step: Step) -> tuple[int, int, str]:
    return step.number, step.at, step.by
