"""The report of `/cache/info`: the snapshot, its persistence, the last refresh."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.ports import Clock
from app.domain.times import HOUR_MS, age_ms, rfc3339
from app.domain.updates import REGISTRATIONS, SWEEP, UPDATES
from app.services.answers.catalogue import Catalogue
from app.services.mirror.health import Health
from app.services.mirror.journal import Journal
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.server_record import ServerRecord
from app.services.mirror.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How the snapshot survives a restart, which workspace is shown, and which kinds of update are enabled."""

    persistent: bool
    directory: str
    max_age_hours: float
    workspace: str | None
    enabled: Mapping[str, bool]


class CacheReport:
    """Reports from the cache alone, except for MLflow's sign of life, which `/health` shares."""

    def __init__(
        self,
        snapshots: Snapshots,
        journal: Journal,
        mirror: ModelTracker,
        catalogue: Catalogue,
        health: Health,
        server: ServerRecord,
        clock: Clock,
        options: ReportOptions,
    ) -> None:
        self._snapshots = snapshots
        self._journal = journal
        self._mirror = mirror
        self._catalogue = catalogue
        self._health = health
        self._server = server
        self._clock = clock
        self._options = options

    def info(self) -> dict[str, Any]:
        """The body of `/cache/info`."""
        figures = self._catalogue.figures()
        stats, by_stage = self._stats(figures), figures["models_by_stage"]
        return {
            "cache_info": stats,
            "tracking_info": {
                "total_models": figures["total_models"],
                "production_models": by_stage["Production"],
                "staging_models": by_stage["Staging"],
                "monitored_models": figures["monitored_models"],
            },
            "system_status": {
                "mlflow_connected": self._health.mlflow()[0],
                "tracking_method": self._method(),
                "cache_enabled": self._mirror.cached,
            },
            "mlflow_server": self._mlflow_server(),
            "refresh": self._refresh(),
            "freshness": self._freshness(),
        }

    def stats(self) -> dict[str, Any]:
        """The field `cache_info`: the snapshot's size and age."""
        return self._stats(self._catalogue.figures())

    def _stats(self, figures: dict[str, Any]) -> dict[str, Any]:
        fleet = self._mirror.peek()
        age = age_ms(fleet.as_of, self._clock()) if fleet else None
        return {
            "total_models": figures["total_models"],
            "models_by_stage": figures["models_by_stage"],
            "last_refresh": rfc3339(fleet.as_of) if fleet else None,
            "is_refreshing": self._journal.is_refreshing(),
            "cache_age_minutes": round(age / 60_000, 1) if age is not None else None,
            "is_stale": self._catalogue.is_stale(fleet.as_of) if fleet else False,
            "unreadable_rows": fleet.unreadable if fleet else 0,
            "persistence": self._stored(),
        }

    def _stored(self) -> dict[str, Any]:
        facts = self._snapshots.facts() if self._options.persistent else None
        age = age_ms(int(facts[1] * 1000), self._clock()) if facts else None
        return {
            "enabled": self._options.persistent,
            "cache_directory": self._options.directory,
            "cache_file_exists": facts is not None,
            "cache_file_age_hours": round(age / HOUR_MS, 2) if age is not None else None,
            "cache_file_size_bytes": facts[0] if facts else None,
            "max_age_hours": self._options.max_age_hours,
        }

    def _mlflow_server(self) -> dict[str, Any]:
        server = self._server.last()
        return {
            "version": server.version,
            "lacks": server.lacks(),
            "workspace": self._options.workspace,
            "other_workspaces": server.other_workspaces(self._options.workspace),
        }

    def _refresh(self) -> dict[str, Any]:
        entry = self._journal.last(SWEEP)
        return {
            "last_attempt": rfc3339(entry.get("started_at")),
            "last_success": rfc3339(entry.get("succeeded_at")),
            "last_failure": rfc3339(entry.get("failed_at")),
            "last_error": entry.get("error"),
            "duration_seconds": entry.get("duration_seconds"),
            "mlflow_requests": entry.get("requests"),
            "process": entry.get("process"),
            "registrations_error": self._journal.last(REGISTRATIONS).get("error"),
        }

    def _freshness(self) -> dict[str, Any]:
        return {update.shown_as: self._update(update.kind) for update in UPDATES}

    def _update(self, kind: str) -> dict[str, Any]:
        entry = self._journal.last(kind)
        return {
            "enabled": self._options.enabled[kind],
            "last_run": rfc3339(entry.get("started_at")),
            "duration_seconds": entry.get("duration_seconds"),
            "mlflow_requests": entry.get("requests"),
            "models_changed": entry.get("changed"),
            "last_failure": rfc3339(entry.get("failed_at")),
            "last_error": entry.get("error"),
        }

    def _method(self) -> str:
        if not self._mirror.cached:
            return "direct"
        return "mock" if self._mirror.shows_mock() else "cached"
