"""The agent's objects that a worker may call, and what the settings say to both processes."""

from dataclasses import dataclass

from app.domain.ports import (
    DataWrites,
    Gateway,
    HistorySource,
    MlflowFacts,
    OtherHosts,
    PromotionWrites,
    RefreshTrigger,
    RegistrationSource,
    RegistrationWrites,
    RegistryHistorySource,
    RuleWrites,
    SnapshotSource,
    ValueHolder,
    WatchWrites,
)
from app.domain.registry.codec import Source
from app.domain.registry.stages import StageRules, stage_rules
from app.services.mirror.model_tracker import TrackerOptions
from app.wiring.world import source_of
from config import Settings


@dataclass(frozen=True)
class AgentApi:
    """The agent's objects that a worker may call, in whatever process the agent runs."""

    gateway: Gateway
    snapshot_source: SnapshotSource
    refresh_trigger: RefreshTrigger
    registration_writes: RegistrationWrites
    registration_source: RegistrationSource
    mlflow_facts: MlflowFacts
    history_source: HistorySource
    holder: ValueHolder
    other_hosts: OtherHosts
    watch_writes: WatchWrites
    registry_history_source: RegistryHistorySource
    rule_writes: RuleWrites
    data_writes: DataWrites
    promotion_writes: PromotionWrites


def rules_of(settings: Settings) -> StageRules:
    """The rules that say which alias stands for which stage."""
    return stage_rules(settings.production_aliases, settings.staging_aliases)


def snapshot_source_of(settings: Settings) -> Source:
    """What a stored snapshot must be of: this MLflow, by these rules."""
    return Source(source_of(settings), rules_of(settings))


def history_source_of(settings: Settings) -> str:
    """What a stored history of the registry must be of: the experiment of this MLflow that holds it."""
    return f"{source_of(settings)}:{settings.monitoring_experiment}"


def interval_of(settings: Settings) -> float:
    """The time between sweeps, in seconds."""
    # A stale snapshot is due for a sweep, even where the refresh interval is longer.
    return min(settings.cache_refresh_interval_minutes * 60, settings.cache_max_age_hours * 3600)


def tracker_options(settings: Settings) -> TrackerOptions:
    """Whether requests are answered from the mirror, and whether a sample is shown where there is nothing."""
    return TrackerOptions(settings.enable_cache, settings.enable_mock_data)
