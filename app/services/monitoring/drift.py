"""The metric history of a model: its metric points in MLflow, with the verdicts on them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from app.domain.errors import InvalidInput, NotFound
from app.domain.messages import MODEL_NOT_FOUND, unknown_baseline
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.judging import baseline_keys, earlier_runs, judge_registration
from app.domain.monitoring.preview import preview, with_settings
from app.domain.ports import Clock, Gateway
from app.domain.registry.models import MetricPoint, Registration, TrackedModel, VersionKey
from app.domain.registry.names import version_number
from app.domain.times import DAY_MS
from app.domain.views import Judged, drift_info, preview_info, series_info
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
        models, model = self._find(name, version)
        now = self._clock()
        judged = self._judged([model], models, now, metrics)[model.key]
        return series_info(model, judged, now - days * DAY_MS)

    def preview(self, name: str, version: str, patch: Any) -> dict[str, Any]:
        """What the settings of a version, changed by `patch`, would have made of its last days. Nothing is written.

        A version that is not monitored is judged as if it were. Raises `NotFound` and `InvalidInput`.
        """
        models, model = self._find(name, version)
        before = _registration(model, self._registrations.peek().by_key.get(model.key))
        after = with_settings(before, patch)
        named = settings_or_default(after.settings).baseline.version
        if named is not None and all(other.row.version != named for other in models):
            raise InvalidInput(unknown_baseline(named))
        evidence, others = self._evidence([before, after], models, ())
        return preview_info(after, preview(before, after, evidence, self._clock(), others))

    def _find(self, name: str, version: str) -> tuple[Sequence[TrackedModel], TrackedModel]:
        """All versions of a model, and the named one of them. Raises `NotFound`."""
        number = version_number(version)
        models = self._mirror.versions(name)
        model = next((model for model in models if model.row.version == number), None)
        if model is None:
            raise NotFound(MODEL_NOT_FOUND)
        self._registrations.look_up_unlisted(name, [model.row.version])
        return models, model

    def _judged(
        self, models: Iterable[TrackedModel], others: Iterable[TrackedModel], now: int, metrics: Collection[str]
    ) -> dict[VersionKey, Judged]:
        """Judge each version by the settings of its registration; a version that is not monitored by the defaults.

        `others` are all versions of the model, since any of them may be a baseline.
        """
        known = self._registrations.peek()
        registrations = [_registration(model, known.by_key.get(model.key)) for model in models]
        evidence, named = self._evidence(registrations, others, metrics)
        return {
            registration.key: (*judge_registration(registration, evidence, now, named), registration)
            for registration in registrations
        }

    def _evidence(
        self, registrations: Sequence[Registration], models: Iterable[TrackedModel], metrics: Collection[str]
    ) -> tuple[Mapping[VersionKey, Sequence[MetricPoint]], Mapping[VersionKey, Registration]]:
        """The evidence that some registrations are judged by, and the registrations of all versions that it is of."""
        known = self._registrations.peek()
        wanted = {key for registration in registrations for key in (registration.key, *baseline_keys(registration))}
        needed = [model for model in models if model.key in wanted]
        monitor_runs = earlier_runs(registrations)
        monitor_runs |= {key: listed.monitor_run_id for key, listed in known.by_key.items() if key in wanted}
        evidence = self._gateway.evidence([model.row for model in needed], monitor_runs, metrics)
        return evidence, {model.key: _registration(model, known.by_key.get(model.key)) for model in needed}


def _registration(model: TrackedModel, known: Registration | None) -> Registration:
    row = model.row
    if known is not None and known.is_of(row):
        return known
    return Registration(row.name, row.version, "", "", row.created, "", row.created)
