"""The runs in which this service keeps its own records, as MLflow has them."""

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_TAG = 7500
"""How much is written to a tag of such a run. MLflow silently cuts a tag at 8000 characters."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A run of an experiment that only this service writes to, with the tags of this service.

    `started` in milliseconds; `is_open` until it is ended; `is_deleted` once somebody deleted it, so that it takes no
    more tags.
    """

    run_id: str
    started: int
    is_open: bool
    tags: Mapping[str, str]
    is_deleted: bool = False
