"""Interfaces to the world (MLflow, the cache, locks, clocks) and to the agent.

Each of them also has a fake, or an implementation in another process. Services of one process use each other's classes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.held import News, Token
from app.domain.monitoring.acts import Act, WantedAct
from app.domain.monitoring.corrections import Ledger, Withdrawal
from app.domain.monitoring.monitor_runs import MonitorState, Pause, Verdict
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import Watch
from app.domain.own_runs import OwnRun
from app.domain.promotion.promotions import Promotion, Wanted
from app.domain.registry.fleet import Edition, Fleet, Refreshed
from app.domain.registry.models import (
    Experiment,
    Inventory,
    MetricPoint,
    ModelReading,
    ModelVersion,
    Newest,
    RegisteredModel,
    Registration,
    Run,
    Subscription,
    VersionKey,
)
from app.domain.registry.server import MlflowServer

Clock = Callable[[], int]
"""The time in milliseconds since 1970: for people, for MLflow, and for the age of stored values."""

Monotonic = Callable[[], float]
"""Seconds that never go back, even if somebody sets the clock: for intervals and pauses in one process."""


class Operation(Protocol):
    """Several MLflow calls that share one time budget."""

    requests: int


class TimeBounds(Protocol):
    """How long calls may take. It applies to the calling process; other processes never call it."""

    patience: float
    """The longest that one call may take, in seconds, including retries."""

    def within(self, seconds: float) -> AbstractContextManager[Operation]:
        """Bound the time of all calls inside the block together."""
        ...

    def stop(self) -> None:
        """Make every call under way fail at once, since the process is about to end."""
        ...


class Gateway(TimeBounds, Protocol):
    """The only way to MLflow. Every method may raise `MlflowUnavailable`, with no credential in it."""

    def ping(self) -> int:
        """Check that MLflow answers; returns the number of active experiments."""
        ...

    def read_inventory(self) -> Inventory: ...

    def read_models(self, names: Sequence[str], experiments: Sequence[str]) -> dict[str, ModelReading]:
        """Some registered models by name, in three or four requests. `experiments` probably hold their runs.

        A model that cannot be read is left out. The failure is raised if no model can be read.
        """
        ...

    def read_versions(self, models: Sequence[RegisteredModel], experiments: Sequence[str]) -> dict[str, ModelReading]:
        """The versions of registered models that were read a moment ago, in two or three requests.

        Models that cannot be read are left out, as in `read_models`.
        """
        ...

    def newest(self, limit: int) -> Newest:
        """The registered models and the versions that were updated last, in two requests."""
        ...

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Every registered model, without its versions."""
        ...

    def find_version(self, name: str, version: int) -> ModelVersion | None:
        """The version without its metrics; None when MLflow does not know it."""
        ...

    def find_experiment(self, experiment_id: str) -> Experiment | None: ...

    def list_runs(self, experiment_id: str, limit: int, page_token: str | None) -> tuple[Sequence[Run], str | None]:
        """Runs, newest first, and the token of the next page. A bad token raises `InvalidInput`."""
        ...

    def count_runs(self, started_after: int | None = None) -> int:
        """How many runs are not deleted, of all or of those started after a time (milliseconds)."""
        ...

    def evidence(
        self,
        versions: Sequence[ModelVersion],
        monitor_runs: Mapping[VersionKey, str],
        metrics: Collection[str] = (),
    ) -> dict[VersionKey, list[MetricPoint]]:
        """Every metric point of each version, or the points of some metrics.

        The points are those of the version's source run, of its logged model, of each run tagged
        `control_tower.evaluates`, and of its monitor run, which `monitor_runs` names. The call bounds its own time by
        the number of requests that it needs.
        """
        ...

    def gone_runs(self, run_ids: Collection[str]) -> frozenset[str]:
        """Which of these runs no longer exist, as after `mlflow gc`; at most twenty runs per call."""
        ...

    def open_registrations(self) -> Sequence[Registration] | None:
        """Every open monitor run; None when the experiment that should hold them is deleted or gone."""
        ...

    def find_registrations(self, name: str, version: int) -> Sequence[Registration]:
        """The open monitor runs of one version; the first one counts."""
        ...

    def look_up_registrations(self, name: str, version: int | None) -> Sequence[Registration]:
        """The open monitor runs of a version or a model, of which the first counts; mostly in one request.

        The result is empty if the experiment is deleted, and the experiment is not restored.
        """
        ...

    def look_up_monitor_runs(self, name: str, version: int) -> Sequence[MonitorState]:
        """The open and the ended monitor runs of a version, without deleted ones; mostly in one request.

        Of the changes of verdict those are read that the tags hold. As `look_up_registrations` otherwise.
        """
        ...

    def watches_and_rules(self) -> tuple[Sequence[Watch], Sequence[MonitoringRule]] | None:
        """Every open watch, in the order in which they were made, and every open monitoring rule, in one search.

        None when their experiment is deleted or gone.
        """
        ...

    def is_open(self, run_id: str) -> bool:
        """Whether a monitor run is neither ended nor deleted. Raises `MlflowMissing` where there is no such run."""
        ...

    def monitor_states(self) -> Sequence[MonitorState] | None:
        """As `open_registrations`, with what the monitor runs hold beside the registration."""
        ...

    def monitor_history(self, name: str | None, version: int | None) -> Sequence[MonitorState]:
        """Open and ended monitor runs with every change of verdict: all, or those of one model or version."""
        ...

    def monitor_runs(self, run_ids: Sequence[str] | None) -> Sequence[MonitorState] | None:
        """Open and ended monitor runs with what their tags hold: all, or those named; None without the experiment."""
        ...

    def verdict_changes(self, run_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Every change of verdict (time in milliseconds, verdict) of some monitor runs, by run id."""
        ...

    def registry_runs(self, newest: int | None) -> Sequence[OwnRun]:
        """The runs that hold the history of the registry, the newest first: so many of them, or all."""
        ...

    def promotion_runs(self, model: str | None, only_open: bool, since: int | None = None) -> Sequence[OwnRun]:
        """The runs that hold the promotions of a registered model, or of all; the newest first.

        With `since`, those that began at that time (milliseconds) or later.
        """
        ...

    def find_promotion_run(self, run_id: str) -> OwnRun | None:
        """The run that holds a promotion; None if there is none with this id."""
        ...

    def data_series(self, name: str, version: int) -> Sequence[OwnRun]:
        """The runs with what was counted of a version's data, the newest first."""
        ...

    def open_data_series(self) -> Sequence[OwnRun]:
        """The open runs with what was counted of data, of all versions."""
        ...

    def register_webhook(self, url: str, secret: str) -> Subscription:
        """Make MLflow deliver its registry's events to an address. Repeated calls leave one webhook."""
        ...

    def list_webhooks(self) -> Sequence[Subscription]:
        """Every webhook of MLflow, not only the tower's."""
        ...

    def remove_webhook(self, subscription_id: str) -> None:
        """Remove a webhook of the tower. `NotFound` if there is none, `InvalidInput` if it is not the tower's."""
        ...

    def test_webhook(self, subscription_id: str) -> tuple[bool, str]:
        """Make MLflow deliver an example to a webhook of the tower; returns whether that succeeded, and the result."""
        ...


class WritingGateway(Gateway, Protocol):
    """A gateway that also writes to monitor runs. Workers do not have it."""

    def open_monitor_run(self, wanted: Registration) -> Registration:
        """Open a monitor run; the registration that is returned has its id."""
        ...

    def reopen_monitor_run(self, registration: Registration, pauses: Sequence[Pause]) -> None:
        """Open an ended monitor run again, for a registration that may have other settings; all pauses of the run."""
        ...

    def rename_monitor_run(self, registration: Registration) -> None:
        """Note on a monitor run the new name of its registered model, which `registration` has."""
        ...

    def end_monitor_run(self, run_id: str, by: str, reason: str) -> int:
        """End a monitor run; returns the time of its end, in milliseconds."""
        ...

    def log_observations(self, run_id: str, observations: Sequence[Observation]) -> None:
        """Write at most `MOST_VALUES` values to a monitor run, all or none.

        Raises `MlflowRefused` if the run is deleted.
        """
        ...

    def ledger(self, run_id: str) -> Ledger:
        """What a monitor run keeps of the writes to it. Of the ids of each page the newest is the last."""
        ...

    def keep_sent_ids(self, run_id: str, pages: Mapping[int, Sequence[SentOnce]], order: int) -> None:
        """Replace pages of the ids that observations were sent with, and note the highest order of the writes.

        Of a page that is too long the newest ids stay.
        """
        ...

    def withdraw(self, run_id: str, withdrawal: Withdrawal) -> None:
        """Note on a monitor run that points no longer count."""
        ...

    def change_settings(self, run_id: str, settings: Mapping[str, Any]) -> None:
        """Replace the settings of a registration."""
        ...

    def change_coverage(self, registration: Registration) -> None:
        """Replace what covers a registered version, its own settings, and the settings in force, on its monitor run."""
        ...

    def open_watch(self, wanted: Watch) -> Watch:
        """Make a watch; the watch that is returned has the id of its run."""
        ...

    def change_watch(self, watch: Watch) -> None:
        """Replace the settings of a watch, and the record of the version that it covered last."""
        ...

    def end_watch(self, run_id: str, by: str, reason: str) -> int:
        """End a watch or a rule; returns the time of its end, in milliseconds."""
        ...

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        """Make a monitoring rule; the rule that is returned has the id of its run."""
        ...

    def change_rule(self, rule: MonitoringRule) -> None:
        """Replace what a rule matches, its settings and its type. Its exclusions stay."""
        ...

    def exclude(self, run_id: str, exclusion: Exclusion) -> None:
        """Exclude a version from a rule."""
        ...

    def include(self, run_id: str, key: VersionKey) -> None:
        """Take back the exclusion of a version from a rule."""
        ...

    def note_act(self, act: Act, registration: Registration) -> None:
        """Write what a person did, and what the registration became by that, to its monitor run."""
        ...

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        """Write a change of verdict, the last of `verdicts`, and up to when receivers were notified.

        `notified` maps the id of a receiver to a time in milliseconds.
        """
        ...

    def mark_notified(self, run_id: str, notified: Mapping[str, int]) -> None:
        """Write up to when receivers were notified: a time in milliseconds by the id of the receiver."""
        ...

    def open_registry_run(self) -> str:
        """Make a run that takes further changes of the registry; returns its id."""
        ...

    def make_data_series(self, name: str, version: int, tags: Mapping[str, str]) -> str:
        """Make a run for what is counted of a version's data, with its first tags; returns its id."""
        ...

    def write_data(self, run_id: str, tags: Mapping[str, str], figures: Mapping[str, tuple[float, int]]) -> None:
        """Write tags to such a run, at most 100, and figures: a value and its time in milliseconds by name."""
        ...

    def end_data_series(self, run_id: str) -> None:
        """End such a run: another reference counts now."""
        ...

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write changes of the registry to a run, at most `MOST_TAGS`, all or none.

        Raises `MlflowRefused` if the run is deleted.
        """
        ...

    def open_promotion_run(self, tags: Mapping[str, str], name: str) -> str:
        """Make an open run that holds a promotion; returns its id."""
        ...

    def write_promotion_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to the run of a promotion, all or none. Raises `MlflowRefused` if the run is deleted."""
        ...

    def end_promotion_run(self, run_id: str) -> None:
        """End the run of a promotion, to which nothing is left to do. May be repeated."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Set an alias, which takes it from any other version. Raises `MlflowMissing` and `MlflowRefused`."""
        ...

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        """Move a version to Production or Staging, and archive the others there, all or none. As `set_alias`."""
        ...


class OwnGateway(WritingGateway, Protocol):
    """A gateway that talks to MLflow from this process."""

    def warm(self) -> None:
        """Prepare what the first call needs, which may take a second."""
        ...

    def server(self) -> MlflowServer:
        """What the MLflow server is: its version and its workspaces."""
        ...

    def may_read_registrations(self) -> bool:
        """Whether MLflow lets this user read the experiment of the registrations; True where there is none."""
        ...

    def gives_sign(self, seconds: float) -> bool:
        """Whether MLflow answers, asked from this process without MLflow's client; False also if that is not known."""
        ...

    def readable_evidence(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str]
    ) -> tuple[dict[VersionKey, list[MetricPoint]], dict[VersionKey, TowerError]]:
        """The evidence of the versions that could be read completely, and the error for each of the others."""
        ...


class SharedCache(Protocol):
    """The values that the processes of a host share, for reading. They are JSON-shaped; an unreadable one is a miss."""

    def get(self, key: str) -> Any: ...

    def token(self, key: str) -> Token | None:
        """Changes whenever the value is written; None if there is no value."""
        ...

    def mark(self, key: str) -> object:
        """As `token`, but cheap enough for every request: less than a microsecond.

        Changes by other programs than this service show only after the next `look`.
        """
        ...

    def look(self) -> None:
        """Notice what other programs did to the stored values; called once a second."""
        ...

    def catch_up(self) -> None:
        """Get the values that another process holds and could not store."""
        ...

    def facts(self, key: str) -> tuple[int, float] | None:
        """The size in bytes and the time of writing (seconds since 1970) of the stored value."""
        ...


class WritableCache(SharedCache, Protocol):
    """A `SharedCache` that can be written. Workers do not have it."""

    def set(self, key: str, value: Any) -> bool:
        """Whether the others can see the value: False, never an exception, where a disk is full or read-only."""
        ...

    def set_many(self, values: Mapping[str, Any]) -> bool:
        """Several values, stored in this order; where hosts share them, they count at once. As `set`."""
        ...

    def delete(self, key: str) -> bool: ...


class HeldLock(Protocol):
    """A lock that is held."""

    def stands(self) -> bool:
        """Whether it still excludes others; a long-time holder asks now and then."""
        ...

    def remove(self) -> None:
        """Remove what the lock stored, since nobody will need it again."""
        ...


class StoredCache(WritableCache, Protocol):
    """A `WritableCache` under other caches, which take its values as JSON."""

    def store(self, key: str, body: bytes) -> bool:
        """As `set`, of a value that is JSON already."""
        ...

    def body(self, key: str) -> bytes | None:
        """The stored value as JSON; None, a miss, also where it is damaged."""
        ...

    def announce(self, key: str) -> None:
        """Change the mark of a key in every process without storing anything."""
        ...


class ValueHolder(Protocol):
    """Holds, for all processes of a host, values that could not be stored. It is in this process or in the agent."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def news(self, holder: str, serial: int) -> News:
        """The keys that are held, and the values after a serial of this holder."""
        ...


class Locks(Protocol):
    """Locks between threads and processes."""

    def hold(self, name: str, timeout: float) -> AbstractContextManager[HeldLock]:
        """Hold a lock, or raise `LockTimeout` after so many seconds (0: do not wait)."""
        ...


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

    def withdraw_batch(self, name: str, version: str, batch_id: str, by: str) -> int:
        """Have a batch no longer count; returns how many rows it has. Raises `NotFound`."""
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


class Telemetry(Protocol):
    """Counts for Prometheus. Every method is cheap and never raises."""

    def mlflow_called(self, failed: bool) -> None:
        """Count a request to MLflow."""
        ...

    def refreshed(self, kind: str, seconds: float, failed: bool) -> None:
        """Record how long a reading of MLflow took, and count it if it failed."""
        ...
