"""The metric history of a model: its metric points in MLflow, with the verdicts on them."""

from collections.abc import Collection, Iterable
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import MODEL_NOT_FOUND
from app.domain.monitoring.judging import baseline_keys, earlier_runs, judge_registration
from app.domain.ports import Clock, Gateway
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.names import version_number
from app.domain.times import DAY_MS
from app.domain.views import Judged, drift_info, series_info
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.registration_list import RegistrationList


class Drift:
    """Reads the metric history live, since it is too large to mirror."""

    def __init__(self, gateway: Gateway, mirror: ModelTracker, registrations: RegistrationList, clock: Clock) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._registrations = registrations
        self._clock = clock

    def of(self, name: str, metrics: Collection[str], days: int) -> list[dict[str, Any]]:
        """The series of each version in the last `days` days, highest version first: of all metrics or of `metrics`.

        Raises `NotFound`.
        """
        models = self._mirror.versions(name)
        self._registrations.look_up_unlisted(name, [model.row.version for model in models])
        now = self._clock()
        judged = self._judged(models, models, now, metrics)
        entries = (drift_info(model, judged[model.key], now - days * DAY_MS, now) for model in models)
        return [entry for entry in entries if entry is not None]

    def series(self, name: str, version: str, metrics: Collection[str], days: int) -> dict[str, Any]:
        """The series of a version in the last `days` days, of all metrics or of `metrics`. Raises `NotFound`."""
        number = version_number(version)
        models = self._mirror.versions(name)
        model = next((model for model in models if model.row.version == number), None)
        if model is None:
            raise NotFound(MODEL_NOT_FOUND)
        self._registrations.look_up_unlisted(name, [model.row.version])
        now = self._clock()
        judged = self._judged([model], models, now, metrics)[model.key]
        return series_info(model, judged, now - days * DAY_MS)

    def _judged(
        self, models: Iterable[TrackedModel], others: Iterable[TrackedModel], now: int, metrics: Collection[str]
    ) -> dict[VersionKey, Judged]:
        """Judge each version by the settings of its registration; a version that is not monitored by the defaults.

        `others` are all versions of the model, since any of them may be a baseline.
        """
        known = self._registrations.peek()
        registrations = [_registration(model, known.by_key.get(model.key)) for model in models]
        baselines = {key for registration in registrations for key in baseline_keys(registration)}
        wanted = {registration.key for registration in registrations} | baselines
        rows = [model.row for model in others if model.key in wanted]
        monitor_runs = earlier_runs(registrations)
        monitor_runs |= {key: listed.monitor_run_id for key, listed in known.by_key.items() if key in wanted}
        evidence = self._gateway.evidence(rows, monitor_runs, metrics)
        named = {
            model.key: _registration(model, known.by_key.get(model.key)) for model in others if model.key in wanted
        }
        return {
            registration.key: (*judge_registration(registration, evidence, now, named), registration)
            for registration in registrations
        }


def _registration(model: TrackedModel, known: Registration | None) -> Registration:
    row = model.row
    if known is not None and known.is_of(row):
        return known
    return Registration(row.name, row.version, "", "", row.created, "", row.created)
