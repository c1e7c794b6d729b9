"""Promotions as tags of runs in MLflow: the proposal and its evidence when the run is made, and then a tag a step."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import chain, count, takewhile
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
# The first tag of a step; those that continue it end with a number.
_IS_STEP = re.compile(rf"{re.escape(_STEP)}\d+\.\w+\.\w+\Z")


def promotions_experiment(monitoring_experiment: str) -> str:
    """The name of the experiment that holds the promotions, beside that of the registrations."""
    return f"{monitoring_experiment}-promotions"


def model_key(name: str) -> str:
    """The value of the tag by which the promotions of a model are searched. A hash, so that any name can be used."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def proposal_tags(proposal: Proposal, evidence: Mapping[str, Any]) -> dict[str, str]:
    """A proposal and its evidence, in as many tags as they need."""
    return {
        MODEL: model_key(proposal.model),
        **_cut(orjson.dumps(asdict(proposal)).decode(), _continued(_PROPOSAL)),
        **_cut(orjson.dumps(evidence).decode(), _numbered(_EVIDENCE)),
    }


def step_tags(step: Step) -> dict[str, str]:
    """A step, in as many tags as it needs.

    Their key follows from its content, so that hosts which share no locks do not overwrite each other's.
    """
    text = orjson.dumps([step.number, step.kind, step.at, step.by, step.note, step.facts]).decode()
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return _cut(text, _continued(f"{_STEP}{step.number:03d}.{step.kind}.{digest}"))


def notified_tags(receiver_id: str, at: int) -> dict[str, str]:
    """That a receiver took the notice of a proposal, at a time in milliseconds."""
    return {f"{_NOTIFIED}{receiver_id}": str(at)}


def is_notified(run: OwnRun, receiver_id: str) -> bool:
    """Whether a receiver took the notice of a proposal."""
    return f"{_NOTIFIED}{receiver_id}" in run.tags


def promotion_from(run: OwnRun) -> Promotion | None:
    """The promotion that a run holds; None if the run holds none, or cannot be read."""
    try:
        row = orjson.loads(_joined(run.tags, _continued(_PROPOSAL)))
        evidence = orjson.loads(_joined(run.tags, _numbered(_EVIDENCE)))
        steps = [_step(_joined(run.tags, _continued(key))) for key in run.tags if _IS_STEP.match(key)]
        promotion = Promotion(run.run_id, _proposal(row), evidence, tuple(sorted(steps, key=_place)), run.is_open)
    except MISFITS:
        return None
    return promotion if isinstance(evidence, dict) else None


def _numbered(key: str) -> Iterator[str]:
    """The keys of the tags that hold a text: `key` with 0, 1 and so on."""
    return (f"{key}{number}" for number in count())


def _continued(key: str) -> Iterator[str]:
    """The keys of the tags that hold a text: `key`, and where that does not take it, `key.1`, `key.2` and so on."""
    return chain([key], (f"{key}.{number}" for number in count(1)))


def _cut(text: str, keys: Iterator[str]) -> dict[str, str]:
    """A text as tags, none of which is longer than MLflow takes."""
    parts = [text[start : start + LONGEST_TAG] for start in range(0, len(text), LONGEST_TAG)]
    return dict(zip(keys, parts, strict=False))


def _joined(tags: Mapping[str, str], keys: Iterator[str]) -> str:
    """The text that tags hold; empty if there is none."""
    return "".join(takewhile(bool, (tags.get(key, "") for key in keys)))


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
