"""Registered models, versions, runs and experiments, as the mirror holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Metrics = Mapping[str, float | None]
Tags = Mapping[str, str]


VersionKey = tuple[str, int]
"""A model version: the name of the registered model, and the number of the version."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model. `aliases` maps an alias to a version number; times in milliseconds."""

    name: str
    created: int
    updated: int
    description: str | None = None
    tags: Tags = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One model version as MLflow has it, joined with the last metrics of its source run.

    `stage` is MLflow's own; `run_model_type` is the tag `model_type` of the source run.
    """

    name: str
    version: int
    stage: str
    created: int
    updated: int
    description: str | None = None
    tags: Tags = field(default_factory=dict)
    run_id: str | None = None
    source: str | None = None
    metrics: Metrics = field(default_factory=dict)
    run_model_type: str | None = None


@dataclass(frozen=True, slots=True)
class TrackedModel:
    """A model version with its aliases, effective stage and model type.

    `stage_source` says where the effective stage comes from: `stage` or `alias`. `model_type` follows from tags and
    metric names; a registration may override it. `owner` is the person or team that is responsible, None if it is not
    known.
    """

    row: ModelVersion
    aliases: tuple[str, ...]
    stage: str
    stage_source: str
    model_type: str | None
    owner: str | None = None

    @property
    def key(self) -> VersionKey:
        return self.row.name, self.row.version


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment; `lifecycle_stage` is `active` or `deleted`; times in milliseconds."""

    experiment_id: str
    name: str
    artifact_location: str | None
    lifecycle_stage: str
    created: int | None
    updated: int | None
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One run with the last value of each metric; times in milliseconds."""

    run_id: str
    experiment_id: str
    status: str
    start_time: int | None
    end_time: int | None
    metrics: Metrics = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One logged value of one metric. `time` in milliseconds; `value` is None for NaN and infinity.

    `source` is where it was logged, one of the `SOURCES` of `domain/monitoring/evidence.py`. `step` orders points of
    the same time. `n` is the number of cases behind the value, None if it is not known. `replaced` is how many other
    values were written for the same time before, and count no more.
    """

    run_id: str
    metric: str
    time: int
    value: float | None
    source: str = "source run"
    step: int = 0
    n: int | None = None
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """One reading of the whole of MLflow's registry.

    `read_at` is when the reading began, in milliseconds, for people. `unreadable` counts the rows that were left out
    because they could not be parsed.
    """

    read_at: int
    models: tuple[RegisteredModel, ...] = ()
    versions: tuple[ModelVersion, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class ModelReading:
    """One reading of one registered model; `model` is None if MLflow does not know it.

    `versions` is None if they were not read.
    """

    model: RegisteredModel | None
    versions: tuple[ModelVersion, ...] | None = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Newest:
    """The registered models and the versions that were updated last, newest first, without metrics."""

    models: tuple[RegisteredModel, ...]
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The version that a watch covered before: its baseline stands in until the newer version has a baseline.

    `monitor_run_id` is its record, which may have ended. `baseline` is its setting of that name, as JSON.
    """

    version: int
    version_created: int
    monitor_run_id: str
    baseline: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has acknowledged a verdict, and when. `since` is when that verdict began; times in milliseconds."""

    at: int
    by: str
    note: str
    since: int


@dataclass(frozen=True, slots=True)
class Mute:
    """No alerts are sent until a time: of the version, or for a change that a metric alone causes.

    Times in milliseconds; `at` is when it was muted. `removed`: somebody ended it early, at `until`.
    """

    metric: str | None
    until: int
    at: int
    by: str
    note: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """One model version registered for monitoring: an open monitor run in MLflow.

    `version_created` is the creation time of the version, so that a version that was deleted and created anew is not
    taken for it. `settings` are those in force, as JSON.

    `watched_by` names the watches that cover the version, and `watched_settings` are theirs in one. `own_settings` are
    those of the version itself; None if it is monitored only since a watch covers it. `predecessors` are the versions
    that the watch covered before, the last first.

    `acknowledgement` is the last one, perhaps of an earlier verdict. `mutes` has one for each metric, and one for the
    version (metric None), also some that have ended. `resumed_at` is when its run was last opened again; None if never.
    """

    name: str
    version: int
    model_type: str
    registered_by: str
    registered_at: int
    monitor_run_id: str
    version_created: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    watched_by: tuple[str, ...] = ()
    watched_settings: Mapping[str, Any] = field(default_factory=dict)
    own_settings: Mapping[str, Any] | None = None
    predecessors: tuple[Predecessor, ...] = ()
    acknowledgement: Acknowledgement | None = None
    mutes: tuple[Mute, ...] = ()
    resumed_at: int | None = None

    @property
    def key(self) -> VersionKey:
        return self.name, self.version

    def is_of(self, row: ModelVersion) -> bool:
        """Whether it was made for this version, and not for a deleted version of the same number.

        A creation time that MLflow's answer lacked, which is then 0 or less, proves nothing.
        """
        return self.version_created == row.created or min(self.version_created, row.created) <= 0

    @property
    def since(self) -> int:
        """Since when it has been monitored without a pause, in milliseconds."""
        return self.resumed_at or self.registered_at

    @property
    def own(self) -> Mapping[str, Any] | None:
        """The settings of the version itself; None if nobody registered it by itself."""
        return self.own_settings if self.watched_by else self.settings


@dataclass(frozen=True, slots=True)
class Subscription:
    """One webhook of MLflow: its address, without user name and password, and its events."""

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    active: bool
