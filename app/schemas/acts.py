"""Acknowledgements, mutes and comments, as clients send them."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.domain.monitoring.acts import LONGEST_MUTE_DAYS, LONGEST_NOTE
from app.domain.registry.names import LONGEST_NAME
from app.schemas.base import moment, prose, text


class AcknowledgementSchema(Schema):
    """An acknowledgement of the present verdict."""

    note = prose(
        "What is known, or being done",
        "The new scanner. Being retrained.",
        LONGEST_NOTE,
        needed=False,
        load_default="",
    )
    since = moment(
        "The `since` of the verdict that was looked at: the request is refused if the verdict has changed since. By "
        "default the present verdict is acknowledged, whatever it is",
        "2023-12-06T10:15:00Z",
    )


class MuteSchema(Schema):
    """A mute of a version's alerts."""

    until = moment(
        f"Until when, RFC 3339 with offset; at most {LONGEST_MUTE_DAYS} days from now",
        "2023-12-08T08:00:00Z",
        required=True,
    )
    metric = text(
        "Only for changes that this metric causes alone; by default for all changes",
        "recall",
        validate=validate.Length(1, LONGEST_NAME),
    )
    note = prose("Why", "Labels arrive late", LONGEST_NOTE, needed=False, load_default="")


class UnmuteQuerySchema(Schema):
    """Which mute to end."""

    metric = text(
        "The metric that is muted; by default the mute of the whole version",
        "recall",
        validate=validate.Length(1, LONGEST_NAME),
    )


class CommentSchema(Schema):
    """A comment."""

    text = prose("The comment", "Seen in all regions.", LONGEST_NOTE, needed=True)


class AcknowledgedSchema(Schema):
    """Who has acknowledged a verdict."""

    by = text("Who: the name of the access key, or `anonymous`", "ada", required=True)
    at = moment("When", "2023-12-06T11:00:00Z", required=True)
    note = text("What is known, or being done; may be empty", "The new scanner. Being retrained.", required=True)


class MutedSchema(Schema):
    """A mute that holds."""

    metric = text("The metric; null for the whole version", "recall", required=True, allow_none=True)
    until = moment("Until when", "2023-12-08T08:00:00Z", required=True)
    by = text("Who muted it", "ada", required=True)
    at = moment("When", "2023-12-07T11:00:00Z", required=True)
    note = text("Why; may be empty", "Labels arrive late", required=True)


def acknowledged_field() -> fields.Nested:
    """The acknowledgement of a verdict, in an answer."""
    return fields.Nested(
        AcknowledgedSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Who has acknowledged the present verdict; null if nobody has"},
    )


def mutes_field() -> fields.List[Any]:
    """What is muted, in an answer."""
    return fields.List(
        fields.Nested(MutedSchema),
        required=True,
        metadata={"description": "What is muted, as of the last check, that of the whole version first"},
    )
