"""The metric history of a model: the points that MLflow holds, and what the rules say of them."""

from collections.abc import Collection, Iterable
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import MODEL_NOT_FOUND
from app.domain.monitoring.judging import baseline_key, judge_registration
from app.domain.ports import Clock, Gateway
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.names import version_number
from app.domain.times import DAY_MS
from app.domain.views import Judged, drift_info, series_info
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.registration_list import RegistrationList


class Drift:
    """Reads the history live: it is too large to mirror."""

    def __init__(self, gateway: Gateway, mirror: ModelTracker, registrations: RegistrationList, clock: Clock) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._registrations = registrations
        self._clock = clock

    def of(self, name: str, metrics: Collection[str], days: int) -> list[dict[str, Any]]:
        """Per version, highest first, the series of its metrics, or of some, in the last `days` days.

        Raises `NotFound`.
        """
        models = self._mirror.versions(name)
        now = self._clock()
        judged = self._judged(models, models, now, metrics)
        entries = (drift_info(model, judged[model.key], now - days * DAY_MS, now) for model in models)
        return [entry for entry in entries if entry is not None]

    def series(self, name: str, version: str, metrics: Collection[str], days: int) -> dict[str, Any]:
        """The series of each metric of a version, or of some, in the last `days` days. Raises `NotFound`."""
        number = version_number(version)
        models = self._mirror.versions(name)
        found = [model for model in models if model.row.version == number]
        if not found:
            raise NotFound(MODEL_NOT_FOUND)
        now = self._clock()
        judged = self._judged(found, models, now, metrics)[found[0].key]
        return series_info(found[0], judged, now - days * DAY_MS)

    def _judged(
        self, models: Iterable[TrackedModel], others: Iterable[TrackedModel], now: int, metrics: Collection[str]
    ) -> dict[VersionKey, Judged]:
        """Each version by its registration's settings, or by the defaults where it is not monitored.

        `others` are all versions of the model: one may be another's baseline.
        """
        known = self._registrations.peek()
        registrations = [_registration(model, known.by_key.get(model.key)) for model in models]
        wanted = {one.key for one in registrations} | {key for one in registrations if (key := baseline_key(one))}
        rows = [model.row for model in others if model.key in wanted]
        monitor_runs = {key: one.monitor_run_id for key, one in known.by_key.items() if key in wanted}
        evidence = self._gateway.evidence(rows, monitor_runs, metrics)
        named = {
            model.key: _registration(model, known.by_key.get(model.key)) for model in others if model.key in wanted
        }
        return {one.key: (*judge_registration(one, evidence, now, named), one) for one in registrations}


def _registration(model: TrackedModel, known: Registration | None) -> Registration:
    row = model.row
    if known is not None and known.version_created == row.created:
        return known
    return Registration(row.name, row.version, "", "", row.created, "", row.created)
