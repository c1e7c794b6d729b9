"""What `/cache/info` tells: the snapshot, its persistence, the last refresh."""

from dataclasses import dataclass
from typing import Any, Protocol

from app.domain.ports import Clock, Liveness, Mirror, SharedCache
from app.domain.times import rfc3339

_SNAPSHOT = "fleet"
_HOUR = 3600


class Figures(Protocol):
    """Counts of the snapshot there is."""

    def figures(self) -> dict[str, Any]: ...

    def is_stale(self, as_of: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class PersistenceOptions:
    """How the snapshot is kept over a restart."""

    enabled: bool
    directory: str
    max_age_hours: float


class CacheReport:
    """Asks nobody but the cache, and MLflow for the sign of life that `/health` shares."""

    def __init__(
        self,
        cache: SharedCache,
        mirror: Mirror,
        figures: Figures,
        liveness: Liveness,
        clock: Clock,
        persistence: PersistenceOptions,
    ) -> None:
        self._cache = cache
        self._mirror = mirror
        self._figures = figures
        self._liveness = liveness
        self._clock = clock
        self._persistence = persistence

    def clear(self) -> bool:
        """Remove the persisted snapshot; whether it is gone. Every worker goes on serving what it has."""
        self._mirror.peek()
        return self._cache.delete(_SNAPSHOT)

    def info(self) -> dict[str, Any]:
        """The body of `/cache/info`."""
        figures = self._figures.figures()
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
                "mlflow_connected": self._liveness.mlflow()[0],
                "tracking_method": self._method(),
                "cache_enabled": self._mirror.cached,
            },
            "refresh": self._refresh(),
        }

    def stats(self) -> dict[str, Any]:
        """`cache_info`: the snapshot's size and age. Ages are in minutes and hours, as their names say."""
        return self._stats(self._figures.figures())

    def _stats(self, figures: dict[str, Any]) -> dict[str, Any]:
        fleet = self._mirror.peek()
        return {
            "total_models": figures["total_models"],
            "models_by_stage": figures["models_by_stage"],
            "last_refresh": rfc3339(fleet.as_of) if fleet else None,
            "is_refreshing": self._mirror.is_refreshing(),
            "cache_age_minutes": round((self._clock() - fleet.as_of) / 60_000, 1) if fleet else None,
            "is_stale": self._figures.is_stale(fleet.as_of) if fleet else False,
            "unreadable_rows": fleet.inventory.unreadable if fleet else 0,
            "persistence": self._stored(),
        }

    def _stored(self) -> dict[str, Any]:
        facts = self._cache.facts(_SNAPSHOT) if self._persistence.enabled else None
        return {
            "enabled": self._persistence.enabled,
            "cache_directory": self._persistence.directory,
            "cache_file_exists": facts is not None,
            "cache_file_age_hours": round(max(0.0, self._clock() / 1000 - facts[1]) / _HOUR, 2) if facts else None,
            "cache_file_size_bytes": facts[0] if facts else None,
            "max_age_hours": self._persistence.max_age_hours,
        }

    def _refresh(self) -> dict[str, Any]:
        state = self._mirror.state()
        return {
            "last_attempt": rfc3339(state.get("started_at")),
            "last_success": rfc3339(state.get("succeeded_at")),
            "last_failure": rfc3339(state.get("failed_at")),
            "last_error": state.get("error"),
            "duration_seconds": state.get("duration_seconds"),
            "mlflow_requests": state.get("requests"),
            "process": state.get("holder"),
        }

    def _method(self) -> str:
        if not self._mirror.cached:
            return "direct"
        return "mock" if self._mirror.shows_mock() else "cached"
