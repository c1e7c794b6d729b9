"""MLflow: what is read from it, what is written to monitor runs, and what only the agent asks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.monitoring.acts import Act
from app.domain.monitoring.corrections import Ledger, Withdrawal
from app.domain.monitoring.monitor_runs import MonitorState, Pause, Verdict
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import Watch
from app.domain.own_runs import OwnRun
from app.domain.ports.world import TimeBounds
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

    def end_monitor_run(self, run_id: str, by: str, reason: str, after: int = 0) -> int:
        """End a monitor run; returns the time of its end, in milliseconds.

        It is later than `after`, when the run began, perhaps by the clock of another host.
        """
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
