"""Promotions and rollbacks."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.comparison.requirements import requirements
from app.domain.errors import InvalidInput
from app.domain.promotion.promotions import (
    LONGEST_REASON,
    MOST_METRICS,
    PROPOSAL,
    ROLLBACK,
    STAGES,
    STATES,
    STEPS,
    Wanted,
    place_named,
)
from app.domain.registry.names import LONGEST_ALIAS, is_metric_name
from app.domain.registry.query import ListQuery
from app.domain.times import parse_rfc3339
from app.schemas.base import PageQuerySchema, TrueOrFalse, doc, flag, moment, number, prose, text

_VERSION = validate.Length(1, 20)


class _PlaceSchema(Schema):
    alias = text("The alias; or else name a stage", "champion", validate=validate.Length(1, LONGEST_ALIAS))
    stage = fields.String(
        validate=validate.OneOf(STAGES), metadata=doc("The stage; or else name an alias", "Production")
    )


class ProposalSchema(_PlaceSchema):
    """A proposal to move an alias or a stage to a version."""

    version = text("The version to move it to", "4", required=True, validate=_VERSION)
    reason = prose("Why", "Better on all regions", LONGEST_REASON, needed=True)
    margin = fields.Raw(
        metadata=doc(
            "How much worse it may be than what is there now, in the unit of the metric: a number, or a list of "
            "`METRIC=NUMBER`. The default is 0",
            ["rmse=2"],
        )
    )
    metrics = fields.List(
        fields.String(),
        validate=validate.Length(max=MOST_METRICS),
        load_default=(),
        metadata=doc("The metrics to compare; by default all", ["accuracy"]),
    )
    override = TrueOrFalse(
        load_default=False,
        metadata=doc("Pass over the gate, for the reason given; marked for good. Needs the role approve", False),
    )

    @post_load
    def _wanted(self, data: dict[str, Any], **_: Any) -> tuple[str, Wanted]:
        margins, metrics = _margins(data.get("margin", ())), tuple(data["metrics"])
        if len(margins) > MOST_METRICS:
            raise InvalidInput(f"margin: Longer than maximum length {MOST_METRICS}.")
        requirements(margins, (), ())
        for name in metrics:
            if not is_metric_name(name):
                raise InvalidInput("metrics: This cannot be the name of a metric.")
        kind, place = place_named(data.get("alias"), data.get("stage"))
        return data["version"], Wanted(kind, place, data["reason"], data["override"], margins, metrics)


def _margins(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        raise InvalidInput("margin: Not a valid number. Write a number, or a list of METRIC=NUMBER.")
    if isinstance(value, (int, float)):
        return (repr(value),)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or not all(isinstance(text, str) for text in listed):
        raise InvalidInput("margin: Not a valid number. Write a number, or a list of METRIC=NUMBER.")
    return tuple(listed)


class ApprovalSchema(Schema):
    """An approval."""

    note = prose("What was looked at", "Seen on the dashboard", LONGEST_REASON, needed=False, load_default="")


class EndPromotionQuerySchema(Schema):
    """Why a proposal is withdrawn or refused."""

    reason = prose("Why", "The data of May are missing", LONGEST_REASON, needed=True)


class RollbackSchema(_PlaceSchema):
    """A way back to the version before."""

    from_ = fields.String(
        data_key="from",
        required=True,
        validate=_VERSION,
        metadata=doc("The version that is there now: if another is, nothing moves", "4"),
    )
    to = text("An earlier version to go back to; by default the one before", "3", validate=_VERSION)
    reason = prose("Why", "Latency doubled", LONGEST_REASON, needed=False, load_default="")

    @post_load
    def _wanted(self, data: dict[str, Any], **_: Any) -> tuple[Wanted, str, str | None]:
        kind, place = place_named(data.get("alias"), data.get("stage"))
        return Wanted(kind, place, data["reason"]), data["from_"], data.get("to")


class WayBackQuerySchema(_PlaceSchema):
    """The alias or the stage that is to go back."""

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, str | None]:
        return {"alias": data.get("alias"), "stage": data.get("stage")}


class WayBackSchema(Schema):
    """What a rollback would do."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    alias = text("The alias; null for a stage", "champion", required=True, allow_none=True)
    stage = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(STAGES),
        metadata=doc("The stage; null for an alias", None),
    )
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=doc("The version that is there now; null if none is, or several are", "4"),
    )
    to = fields.List(
        fields.String(),
        required=True,
        metadata=doc("The versions that it can go back to, the one before first; empty if there is none", ["3", "1"]),
    )


class PromotionsQuerySchema(PageQuerySchema):
    """Which promotions of all models, and the page."""

    since = moment(
        "All promotions and rollbacks that were asked for at this time or later, whatever became of them; without it "
        "those that wait",
        "2026-11-01T00:00:00Z",
    )

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        since = parse_rfc3339(data.pop("since"), "since") if "since" in data else None
        return {"query": ListQuery(**data), "since": since}


class ModelPromotionsQuerySchema(PageQuerySchema):
    """Filter and page of the promotions of a model."""

    state = fields.String(validate=validate.OneOf(STATES), metadata=doc("A state", "waiting"))


class StepSchema(Schema):
    """A step of a promotion."""

    step = fields.String(required=True, validate=validate.OneOf(STEPS), metadata=doc("What was done", "approved"))
    at = moment("When", "2026-11-20T12:00:00Z", required=True, allow_none=True)
    by = text("Who: the name of an access key; `control-tower` for the service itself", "bob", required=True)
    note = text("What they said about it; may be empty", "Seen on the dashboard", required=True)


class PromotionSchema(Schema):
    """A promotion or a rollback, with its evidence and its steps."""

    id = text("Identifies it: its run in MLflow", "3f2a9c1e5b7d4a6088c1d2e35f2c9a71", required=True)
    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    version = text("The version that it moves", "4", required=True)
    alias = text("The alias that is moved; null for a stage", "champion", required=True, allow_none=True)
    stage = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(STAGES),
        metadata=doc("The stage that it moves to; null for an alias", None),
    )
    before = fields.List(
        fields.String(), required=True, metadata=doc("What was there when it was proposed, highest first", ["3"])
    )
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata=doc("`waiting`, `moving`, `done`; or how it ended without a move", "done"),
    )
    why = text("Why it was not carried out, or what is to be known of it; else null", None, required=True,
               allow_none=True)  # fmt: skip
    origin = fields.String(
        required=True, validate=validate.OneOf([PROPOSAL, ROLLBACK]), metadata=doc("How it came about", "proposal")
    )
    override = flag("Whether the gate was passed over", False, required=True)
    proposed_by = text("Who asked for it", "ada", required=True)
    proposed_at = moment("When", "2026-11-20T11:00:00Z", required=True, allow_none=True)
    reason = text("Why", "Better on all regions", required=True)
    approvals_needed = number("How many other people have to approve", 1, required=True)
    approved_by = fields.List(fields.String(), required=True, metadata=doc("Who approved", ["bob"]))
    expires_at = moment("Until when it waits; null if it does not wait", None, required=True, allow_none=True)
    ended_at = moment("When it was done, or ended otherwise", "2026-11-20T12:00:00Z", required=True, allow_none=True)
    evidence = fields.Dict(
        required=True,
        metadata=doc(
            "What the gate said when it was proposed: `taken_at`, `passes`, `why_not`, `comparison` (as /compare has "
            "it; null if nothing was there), `compared_with` (`place`: the version that had the alias or the stage; "
            "`effective_stage`: the version that was effectively there, where the place itself was empty), `verdict`, "
            "`verdict_since`, `findings`. Empty for a rollback",
            {"taken_at": "2026-11-20T11:00:00Z", "passes": True, "why_not": [], "verdict": "healthy"},
        ),
    )
    steps = fields.List(fields.Nested(StepSchema), required=True, metadata={"description": "The steps, in order"})
