"""The agent, as workers call it. Each interface is implemented by an object of the agent, and by a stand-in."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.domain.monitoring.acts import Act, WantedAct
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.monitoring_rules import MonitoringRule
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import Watch
from app.domain.promotion.promotions import Promotion, Wanted
from app.domain.registry.fleet import Edition, Fleet, Refreshed
from app.domain.registry.models import (
    Registration,
)


class SnapshotSource(Protocol):
    """Provides the mirror's snapshot, from this process or the agent. Every method may raise `MlflowUnavailable`."""

    def read(self) -> Fleet:
        """Read all of MLflow's registry now, without keeping it."""
        ...

    def first(self) -> Edition:
        """Make sure that there is a snapshot, and return its edition; waits no longer than MLflow may take."""
        ...

    def edition(self) -> Edition | None:
        """The edition of the snapshot in the process that reads MLflow."""
        ...

    def share(self) -> None:
        """Publish the whole snapshot again, for a worker that cannot read what is stored."""
        ...

    def held(self, edition: Edition) -> bytes | None:
        """The snapshot of the process that reads MLflow, as JSON; None if it does not replace `edition`."""
        ...

    def look_up(self, names: Sequence[str]) -> int:
        """Read some registered models again; returns how many of them had changed."""
        ...

    def forget(self) -> bool:
        """Remove the shared snapshot; returns whether it is gone. Every process keeps its own."""
        ...


class HistorySource(Protocol):
    """Provides a worker with the history of the registrations, from this process or from the agent."""

    def first(self) -> None:
        """Make sure that there is a history, within one call's time. Raises `MlflowUnavailable`."""
        ...

    def held(self, seal: str) -> dict[str, Any] | None:
        """The history of the process that reads MLflow, as JSON; None if it has this seal."""
        ...


class RegistryHistorySource(HistorySource, Protocol):
    """Provides a worker with the history of the registry, from this process or from the agent."""


class RefreshTrigger(Protocol):
    """Starts what refresh requests and webhook deliveries ask for, in this process or in the agent."""

    def refresh(self) -> Refreshed:
        """Read everything now. Raises `MlflowUnavailable` if the registry cannot be read; the snapshot then stays."""
        ...

    def pushed(self, name: str | None, delivery_id: str, sent_at: int) -> bool:
        """Accept a delivery of MLflow's webhooks; False if it was accepted before. `sent_at` in milliseconds."""
        ...


class RegistrationWrites(Protocol):
    """Writes what clients change about registrations to MLflow, in this process or in the agent.

    Settings are what a client sent as JSON, whatever that is.

    Every method may raise `MlflowUnavailable`, and `Busy` where others write too much, or the same thing for too long.
    """

    def register(self, name: str, version: str, model_type: str, registered_by: str, settings: Any) -> Registration:
        """Open a monitor run. Raises `NotFound`, and `InvalidInput` where one is open or the settings are bad."""
        ...

    def change_settings(self, name: str, version: str, patch: Any) -> Registration:
        """Apply a change to the settings; None restores all defaults. Raises `NotFound` and `InvalidInput`."""
        ...

    def observe(
        self, name: str, version: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        """Write all observations to the monitor run, or none. Raises `NotFound`.

        What was `sent` before is not written again; with other observations that raises `Conflict`.
        """
        ...

    def withdraw(
        self, name: str, version: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        """Have observations no longer count: of a metric or of all, in a period or of all times until now.

        `since` and `until` in milliseconds, both inclusive. Raises `NotFound`.
        """
        ...

    def act(self, name: str, version: str, wanted: WantedAct, by: str) -> tuple[Registration, Act]:
        """Note what a person does about a monitored version: see `acted` for what it raises. Raises `NotFound`."""
        ...

    def remove(self, name: str, version: str, removed_by: str) -> int:
        """End the monitor run and return the time of that, in milliseconds. Raises `NotFound` where none is open."""
        ...


class WatchWrites(Protocol):
    """Writes what clients change about watches to MLflow, in this process or in the agent.

    A watch is named by its kind (`alias` or `stage`), the registered model, and the alias or stage. Settings are what
    a client sent as JSON, whatever that is. Every method may raise `MlflowUnavailable`, and `Busy` where others write
    too much, or the same thing for too long.
    """

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def watch(self, kind: str, model: str, place: str, model_type: str, registered_by: str, settings: Any) -> Watch:
        """Make a watch, and have the version there monitored.

        Raises `NotFound` for an unknown model or alias, and `InvalidInput` where it is watched or the settings are bad.
        """
        ...

    def change_watch(self, kind: str, model: str, place: str, patch: Any) -> Watch:
        """Apply a change to the settings; None restores all defaults. Raises `NotFound` and `InvalidInput`."""
        ...

    def observe_watched(
        self, kind: str, model: str, place: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        """Write observations of the version that is there now, as `RegistrationWrites.observe`.

        Raises `NotFound` where nothing is watched, and `Conflict` where no version is there.
        """
        ...

    def withdraw_watched(
        self, kind: str, model: str, place: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        """Withdraw observations of the version that is there now, as `RegistrationWrites.withdraw`.

        Raises as `observe_watched`.
        """
        ...

    def remove_watch(self, kind: str, model: str, place: str, removed_by: str) -> int:
        """End a watch and return the time of that, in milliseconds. Raises `NotFound` where there is none."""
        ...

    def look_up_watches(self) -> bool:
        """Read watches and rules from MLflow, unless that was done less than two seconds ago; whether it was done."""
        ...


class RuleWrites(Protocol):
    """Writes what clients change about monitoring rules to MLflow, in this process or in the agent.

    A matcher and settings are what a client sent as JSON, whatever that is. Every method may raise `MlflowUnavailable`,
    and `Busy` where others write too much, or the same thing for too long.
    """

    def make_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        """Make a rule. Raises `InvalidInput` where there is a rule of that name, or something is bad."""
        ...

    def put_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        """Make a rule, or replace one; its exclusions stay. Raises `InvalidInput` where something is bad."""
        ...

    def remove_rule(self, name: str, removed_by: str) -> int:
        """End a rule and return the time of that, in milliseconds. Raises `NotFound` where there is none."""
        ...


class PromotionWrites(Protocol):
    """Has versions promoted and rolled back, in this process or in the agent. `by` is the name of an access key.

    Every method may raise `NotFound`, `Conflict` if the world has moved on, `Forbidden`, `MlflowUnavailable` and
    `Busy`. What it has begun by then is finished or taken back later.
    """

    def propose(self, name: str, version: str, wanted: Wanted, by: str, may_approve: bool) -> Promotion:
        """Propose to move a version; it is moved at once if nobody has to approve.

        Repeated by the same person, it returns what waits already.
        """
        ...

    def approve(self, name: str, promotion_id: str, by: str, note: str) -> Promotion:
        """Approve a proposal, which is carried out if nobody else has to approve."""
        ...

    def end(self, name: str, promotion_id: str, by: str, may_approve: bool, reason: str) -> Promotion:
        """Withdraw one's own proposal, or refuse that of somebody else."""
        ...

    def roll_back(self, name: str, wanted: Wanted, since: str, to: str | None, by: str) -> Promotion:
        """Move an alias or a stage back from the version `since` to the one before, or to the earlier version `to`."""
        ...


class DataWrites(Protocol):
    """Writes what was counted of data to MLflow, and reads it, in this process or in the agent.

    Layouts and counts are JSON, and were checked. Every method may raise `MlflowUnavailable`, `Busy`, and `NotFound`
    for a version that is not monitored.
    """

    def put_reference(
        self, name: str, version: str, layout: dict[str, Any], counts: dict[str, Any], by: str
    ) -> dict[str, Any]:
        """Have batches counted by a reference from now on. The reference that counts already changes nothing."""
        ...

    def add_batch(
        self,
        name: str,
        version: str,
        series: str | None,
        layout: dict[str, Any] | None,
        counts: dict[str, Any],
        window: tuple[int, int] | None,
        batch_id: str | None,
        by: str,
    ) -> dict[str, Any]:
        """Write a batch of a window, its start and end in milliseconds. The same batch again changes nothing.

        Without a `window` it is today's, in UTC, or that of the batch if it was written before.

        `series` is the id of the reference by which it was counted; None, with the `layout` that was made of its rows,
        for the first batch. Raises `InvalidInput` where there are no bins, and `Conflict` where the reference is
        another, the id has other counts, or the id was withdrawn.
        """
        ...

    def withdraw_batch(self, name: str, version: str, batch_id: str, reference: str | None, by: str) -> int:
        """Have a batch of a reference, by default the present one, no longer count; returns how many rows it has.

        Raises `NotFound`.
        """
        ...

    def report(self, name: str, version: str, reference: str | None) -> dict[str, Any] | None:
        """Judge what was counted by a reference, by default the present one; None if nothing was counted by it.

        The answer has the parts `reference`, `layout`, `earlier`, `batches`, `report`, and when it was judged.
        """
        ...

    def histogram(
        self, name: str, version: str, column: str, segment: tuple[str, str] | None, start: int | None
    ) -> dict[str, Any]:
        """A column's counts in the reference and in a window, by its start or the newest. Raises `NotFound`."""
        ...


class RegistrationSource(Protocol):
    """Provides registrations that a process does not know, from this process or from the agent.

    Every method may raise `MlflowUnavailable` or `LockTimeout`.
    """

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def read(self) -> Monitored:
        """All registrations. MLflow is asked where no list is shared, and always where the cache is disabled."""
        ...

    def look_up(self, name: str, version: int | None) -> bool:
        """Ask MLflow for registrations of a version or of a model that the list lacks; whether some were added.

        MLflow is not asked where it was asked for the same less than two seconds ago.
        """
        ...


class MlflowFacts(Protocol):
    """Provides figures of MLflow that the processes share, from this process or from the agent."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def signs_of_life(self) -> tuple[bool, int | None]:
        """Whether MLflow answers, and its number of active experiments (None: it never said). Asked within 1.5 s."""
        ...

    def count_of_runs(self) -> tuple[int, int] | None:
        """The number of runs and the time of the count, in milliseconds. Counted now where there is no count yet."""
        ...


class OtherHosts(Protocol):
    """The other hosts of this tower, as this process or the agent keeps in step with them."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def catch_up(self) -> None:
        """Have what the other hosts have. Raises `Busy` where what they share does not answer."""
        ...

    def settle(self) -> None:
        """Wait until every other host has what was changed here, a second at most."""
        ...
