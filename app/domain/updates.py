"""The kinds of updates, by which changes in MLflow reach the service, and the names that the API gives them.

To add a kind, add a constant and an entry in `UPDATES`, the code that does it, and `enabled` in `app/wiring/worker.py`.
"""

from dataclasses import dataclass

PUSH, CHANGES, ALIASES, SWEEP, CHECKS = "push", "changes", "aliases", "sweep", "checks"

REGISTRATIONS = "registrations"
"""The journal's entry on the registrations, which are read after each sweep. It is no kind of update by itself."""


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
    Update(CHECKS, "checks", "Every `CHECK_INTERVAL_MINUTES`, of monitored versions; counts changed verdicts"),
)
KINDS = tuple(update.kind for update in UPDATES)
