"""Interfaces to the world (MLflow, the cache, locks, clocks) and to the agent.

Each of them also has a fake, or an implementation in another process. Services of one process use each other's classes.
"""

from app.domain.ports.agent import (
    DataWrites,
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
    WatchWrites,
)
from app.domain.ports.cache import HeldLock, Locks, SharedCache, StoredCache, ValueHolder, WritableCache
from app.domain.ports.mlflow import Gateway, OwnGateway, WritingGateway
from app.domain.ports.world import Clock, Monotonic, Operation, Telemetry, TimeBounds

__all__ = [
    "Clock",
    "DataWrites",
    "Gateway",
    "HeldLock",
    "HistorySource",
    "Locks",
    "MlflowFacts",
    "Monotonic",
    "Operation",
    "OtherHosts",
    "OwnGateway",
    "PromotionWrites",
    "RefreshTrigger",
    "RegistrationSource",
    "RegistrationWrites",
    "RegistryHistorySource",
    "RuleWrites",
    "SharedCache",
    "SnapshotSource",
    "StoredCache",
    "Telemetry",
    "TimeBounds",
    "ValueHolder",
    "WatchWrites",
    "WritableCache",
    "WritingGateway",
]
