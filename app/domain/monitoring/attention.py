"""What needs attention among the monitored versions, in one sentence, and what those lack that cannot be judged."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.monitoring.checks import Check
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, INSUFFICIENT

# Versions may lack as many different things as there are versions.
_MOST_KINDS = 5


def attention(verdicts: Mapping[str, int], checks: Iterable[Check], idle_watches: int) -> dict[str, Any]:
    """The sentence, and what is missing with the number of versions that lack it, as JSON.

    `verdicts` counts the monitored versions by verdict, `checks` are the last checks of those. `idle_watches` is how
    many watched aliases and stages have no version.
    """
    lacking = Counter(_missing(check) for check in checks if check.verdict == INSUFFICIENT)
    listed = sorted(lacking.items(), key=lambda item: (-item[1], item[0]))[:_MOST_KINDS]
    return {
        "message": _message(verdicts, idle_watches),
        "missing": [{"what": what, "versions": versions} for what, versions in listed],
        "idle_watches": idle_watches,
    }


def _message(verdicts: Mapping[str, int], idle_watches: int) -> str:
    if not idle_watches:
        return _of_versions(verdicts)
    has = "1 watched alias or stage has" if idle_watches == 1 else f"{idle_watches} watched aliases or stages have"
    of_versions = _of_versions(verdicts).replace("Nothing needs attention", "Nothing is drifting")
    return f"{of_versions}; {has} no version"


def _of_versions(verdicts: Mapping[str, int]) -> str:
    monitored, unjudged = sum(verdicts.values()), verdicts[INSUFFICIENT]
    bad = [f"{verdicts[verdict]} {verdict}" for verdict in (DRIFTING, DEGRADED) if verdicts[verdict]]
    if not monitored:
        return "Nothing is monitored yet"
    if unjudged:
        return f"{' and '.join(bad) or 'Nothing is drifting'}; {unjudged} of {monitored} cannot be judged yet"
    return f"{' and '.join(bad)} of {monitored}" if bad else "Nothing needs attention"


def _missing(check: Check) -> str:
    """Why a version cannot be judged, without the name of the metric."""
    reason = check.reasons[0] if check.reasons else ""
    metric, colon, why = reason.partition(": ")
    return why if colon and metric in check.metrics else reason
