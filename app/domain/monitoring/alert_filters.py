"""Filters of alerts: which changes of verdict a receiver gets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.monitoring.alerts import VerdictChange
from app.domain.monitoring.verdicts import HEALTHY, INSUFFICIENT


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """A change has to match each of these that is not empty, by any of its values.

    `owners` has "" for versions without an owner; `tags` are `key:value`, of the version or the registered model.
    `first_healthy`: whether a move from `insufficient_data` to `healthy` is sent.
    """

    owners: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    first_healthy: bool = True

    def lets_pass(self, change: VerdictChange, tags: Iterable[tuple[str, str]]) -> bool:
        """Whether the receiver gets a change of a version with these tags."""
        if not self.first_healthy and (change.before, change.verdict) == (INSUFFICIENT, HEALTHY):
            return False
        return self.concerns(change.owner, tags) and (not self.verdicts or change.verdict in self.verdicts)

    def concerns(self, owner: str | None, tags: Iterable[tuple[str, str]]) -> bool:
        """Whether the receiver gets what happens to a version with this owner and these tags."""
        return (not self.owners or (owner or "") in self.owners) and (
            not self.tags or any(f"{key}:{value}" in self.tags for key, value in tags)
        )


def alert_filter(wanted: Mapping[str, Any]) -> AlertFilter:
    """The filter that a setting describes."""
    owners, verdicts, tags = (tuple(wanted.get(name, ())) for name in ("owner", "verdict", "tag"))
    return AlertFilter(owners, verdicts, tags, wanted.get("first_healthy", True))
