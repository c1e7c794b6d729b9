"""Registered models, each with those of its versions that a query of the fleet matches: a list with a row per model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.monitoring.checks import Check
from app.domain.monitoring.key_metric import worst
from app.domain.registry.models import TrackedModel

GROUP_SORTS = ("name", "owner", "verdict", "last_at", "last_updated_timestamp")
"""The orders of the list. Without one, models in Production come first, and among those the worst verdict."""


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """A registered model with its versions that a query matches, the highest first; there is at least one.

    `key_version` is the version to look at first, with its last `check`, None if it is not monitored. `standing` sorts
    it by verdict: the worst first, then the newest change.
    """

    versions: Sequence[TrackedModel]
    key_version: TrackedModel
    check: Check | None
    standing: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.key_version.row.name

    @property
    def in_production(self) -> list[TrackedModel]:
        return [version for version in self.versions if version.stage == "Production"]

    @property
    def updated(self) -> int:
        """When the last of the versions changed, in milliseconds."""
        return max(version.row.updated for version in self.versions)

    @property
    def last_at(self) -> str | None:
        """The time of the last value of the key metric, as clients see it; None if no value was checked."""
        metrics = self.check.metrics if self.check else {}
        metric = worst(metrics)
        return metrics[metric].get("last_at") if metric is not None else None


def in_order(groups: Sequence[ModelGroup], sort: str | None) -> list[ModelGroup]:
    """Groups, which are sorted by name, in the order that a query asks for. Models without a value come last."""
    if sort is None:
        return sorted(groups, key=lambda group: (not group.in_production, group.standing))
    key, descends = _KEYS[sort.lstrip("-")], sort.startswith("-")
    values = [(key(group), group) for group in groups]
    with_value = [pair for pair in values if pair[0] is not None]
    # A stable sort: equals stay by name.
    with_value.sort(key=lambda pair: pair[0], reverse=descends)
    return [group for _, group in with_value] + [group for value, group in values if value is None]


_KEYS: dict[str, Callable[[ModelGroup], Any]] = {
    "name": lambda group: group.name,
    "owner": lambda group: group.key_version.owner,
    "verdict": lambda group: group.standing if group.check else None,
    "last_at": lambda group: group.last_at,
    "last_updated_timestamp": lambda group: group.updated,
}
