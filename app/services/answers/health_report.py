"""The reports of `/health`, `/readyz` and `/debug/monitored`."""

from typing import Any

from app.domain.errors import TowerError
from app.domain.times import rfc3339
from app.services.answers.catalogue import Catalogue
from app.services.host.other_hosts import HostsRecord
from app.services.mirror.health import Health
from app.services.mirror.journal import Journal
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.registration_list import RegistrationList


class HealthReport:
    """Combines MLflow's last sign of life with the state of the mirror."""

    def __init__(
        self,
        health: Health,
        mirror: ModelTracker,
        journal: Journal,
        register: RegistrationList,
        catalogue: Catalogue,
        hosts: HostsRecord | None,
    ) -> None:
        self._health = health
        self._mirror = mirror
        self._journal = journal
        self._register = register
        self._catalogue = catalogue
        self._hosts = hosts

    def is_ready(self) -> bool:
        """Whether there is a snapshot to serve or, where the cache is disabled, whether MLflow answers."""
        if self._hosts is not None and not self._hosts.is_ready():
            return False
        if self._mirror.cached:
            return self._mirror.peek() is not None or self._mirror.shows_mock()
        return self._health.mlflow()[0]

    def health(self) -> dict[str, Any]:
        """The body of `/health`."""
        connected, experiments = self._health.mlflow()
        fleet = self._mirror.peek()
        if fleet and experiments is None:
            experiments = sum(e.lifecycle_stage == "active" for e in fleet.experiments)
        hosts = self._hosts.report() if self._hosts else None
        is_well = connected and (hosts is None or hosts["redis"] == "connected")
        return {
            "status": "healthy" if is_well else "degraded",
            "mlflow_connection": "connected" if connected else "disconnected",
            "experiments_count": experiments or 0,
            "cache_status": {
                "ready": fleet is not None,
                "total_models": len(fleet.models) if fleet else 0,
                "is_refreshing": self._journal.is_refreshing(),
                "last_refresh": rfc3339(fleet.as_of) if fleet else None,
            },
            **({"hosts": hosts} if hosts else {}),
        }

    def debug(self) -> dict[str, Any]:
        """The body of `/debug/monitored`, which works even while MLflow does not answer."""
        listed = sorted(self._register.peek().by_key.values(), key=lambda r: r.key)
        try:
            details = self._catalogue.monitored_details()
        except TowerError:
            details = []
        runs = {(row["name"], row["version"]): row["run_id"] for row in details}
        return {
            "monitored_count": len(listed),
            "monitored_list": [
                {
                    "model_name": r.name,
                    "model_version": str(r.version),
                    "model_type": r.model_type,
                    "registered_at": rfc3339(r.registered_at),
                    "registered_by": r.registered_by,
                    "run_id": runs.get((r.name, str(r.version))),
                    "monitor_run_id": r.monitor_run_id,
                }
                for r in listed
            ],
            "mlflow_status": "connected" if self._health.mlflow()[0] else "disconnected",
            "model_details": details,
        }
