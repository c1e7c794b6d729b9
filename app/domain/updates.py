"""The kinds of updates: the ways by which what happens in MLflow comes here, and how each is called where it is shown.

A further kind is a constant and an entry in `UPDATES`, beside what does it and `enabled` in `app/wiring/worker.py`.
"""

from dataclasses import dataclass

PUSH, CHANGES, ALIASES, SWEEP, CHECKS = "push", "changes", "aliases", "sweep", "checks"


@dataclass(frozen=True, slots=True)
class Update:
    """One kind. `kind` is its name in the journal and in metrics, `shown_as` that in `freshness` of `/cache/info`."""

    kind: str
    shown_as: str
    description: str


UPDATES = (
    Update(PUSH, "push", "MLflow's webhooks"),
    Update(CHANGES, "poll", "Every `CHANGE_POLL_SECONDS`"),
    Update(ALIASES, "alias_poll", "Every `ALIAS_POLL_SECONDS`"),
    Update(SWEEP, "sweep", "Every `CACHE_REFRESH_INTERVAL_MINUTES`, and on request"),
    Update(CHECKS, "checks", "Every `CHECK_INTERVAL_MINUTES` the monitored versions; changed are verdicts"),
)
KINDS = tuple(update.kind for update in UPDATES)
