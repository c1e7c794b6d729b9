"""The shapes of stored values. Whoever may write to Redis may plant any JSON, and what has another shape is a miss."""

from typing import Annotated, Any

import msgspec

_TIME = r"^[0-9]{4}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$"
TimeText = Annotated[str, msgspec.Meta(pattern=_TIME)]
"""A time as `rfc3339` writes it."""


def check_shape(value: Any, shape: Any) -> None:
    """See to it that JSON has the types that `shape`, a type, declares. Raises `ValueError`."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def has_shape(value: Any, shape: Any) -> bool:
    """Whether JSON has the types that `shape`, a type, declares."""
    try:
        check_shape(value, shape)
    except ValueError:
        return False
    return True
