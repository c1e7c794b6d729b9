"""Fields that the schemas share, each with a description and an example."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate

from app.domain.registry.names import is_metric_name

# Beyond any list, but small enough that Python can slice by the place of the page's first row.
_MOST_PAGES = 1_000_000_000
_MOST_DAYS = 3650

_DIGITS = re.compile(r"-?[0-9]{1,20}\Z", re.ASCII)


def doc(description: str, example: Any, **more: Any) -> dict[str, Any]:
    """The description and example of a field, for OpenAPI."""
    return {"description": description, "example": example, **more}


def text(description: str, example: str | None, **options: Any) -> fields.String:
    return fields.String(metadata=doc(description, example), **options)


def prose(description: str, example: str, most: int, *, needed: bool, **options: Any) -> fields.String:
    """What people write for people, of at most so many characters. Where it is not `needed` it may be empty."""
    return text(
        f"{description}. At most {most} characters",
        example,
        validate=[validate.Length(int(needed), most), _readable],
        required=needed,
        **options,
    )


def _readable(value: str) -> None:
    if value and not value.strip():
        raise ValidationError("Not only blanks.")
    if not all(char.isprintable() or char in "\n\t" for char in value):
        raise ValidationError("No control characters, except line breaks and tabs.")


class WholeNumber(fields.Integer):
    """An integer in plain digits. Python's `int` would also accept `1_0`, `+1`, blanks and digits of other scripts."""

    def _validated(self, value: Any) -> Any:
        if isinstance(value, str) and not _DIGITS.match(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def number(description: str, example: int | None, **options: Any) -> fields.Integer:
    return WholeNumber(metadata=doc(description, example), **options)


def real(description: str, example: float | None, **options: Any) -> fields.Float:
    return fields.Float(metadata=doc(description, example), **options)


def flag(description: str, example: bool, **options: Any) -> fields.Boolean:
    return fields.Boolean(metadata=doc(description, example), **options)


class TrueOrFalse(fields.Boolean):
    """True or false, and no number or text that may stand for it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def moment(description: str, example: str | None = "2023-12-01T10:00:00Z", **options: Any) -> fields.String:
    """A time as RFC 3339 in UTC."""
    return fields.String(metadata=doc(description, example, format="date-time"), **options)


def metrics(description: str = "Last value of each metric; null for NaN and infinity") -> fields.Dict:
    return fields.Dict(
        keys=fields.String(),
        values=fields.Float(allow_none=True),
        metadata=doc(description, {"accuracy": 0.945, "f1_score": 0.94}),
    )


def metric_choice(description: str) -> fields.List[str]:
    """Names of metrics in a query."""
    return fields.List(fields.String(validate=_metric_name), load_default=(), metadata=doc(description, ["accuracy"]))


def _metric_name(value: str) -> None:
    if not is_metric_name(value):
        raise ValidationError("This cannot be the name of a metric.")


def days_back(example: int, default: int) -> fields.Integer:
    """How many days of a version's history to return."""
    return number(
        f"Days to look back, 1 to {_MOST_DAYS}",
        example,
        load_default=default,
        validate=validate.Range(1, _MOST_DAYS),
    )


def words(description: str, example: dict[str, str]) -> fields.Dict:
    """A dictionary of texts: tags, parameters."""
    return fields.Dict(keys=fields.String(), values=fields.String(), metadata=doc(description, example))


def part_of_name() -> fields.String:
    """The filter by a part of a registered model's name."""
    return text("Part of the name, in any case", "dna")


def owner_field() -> fields.String:
    """The owner of a version, in an answer."""
    return text(
        "Who is responsible: the tag `owner` (in any case) of the version, or else of the registered model; null if "
        "neither has one",
        "genomics",
        required=True,
        allow_none=True,
    )


class Owners(fields.List[str]):
    """The filter by owner: those of which a version has one; None stands for no owner, which is asked for by ""."""

    def __init__(self) -> None:
        described = doc("An owner, exactly; empty for those without one. May be repeated: any of them", ["genomics"])
        super().__init__(fields.String(), metadata=described, data_key="owner")

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return tuple((owner or "").strip() or None for owner in super()._deserialize(*args, **kwargs))


class OnceQuerySchema(Schema):
    """Parameters of a query that are refused where they take one value and are given several times."""

    @pre_load
    def _refuse_repeated(self, data: Any, **_: Any) -> Any:
        given = getattr(data, "getlist", None)
        single = [name for name, field in self.fields.items() if not isinstance(field, fields.List)]
        if repeated := [name for name in single if given and len(given(name)) > 1]:
            raise ValidationError({name: ["Give it once."] for name in repeated})
        return data


class PageQuerySchema(Schema):
    """Which page of a list."""

    page = number("Page, from 1", 1, validate=validate.Range(1, _MOST_PAGES))
    page_size = number("Rows per page, at most `MAX_MODELS_RETURNED`", 50, validate=validate.Range(min=1))
