"""The metric history of a model, day by day: the points that MLflow holds, and no others."""

from typing import Any

from app.domain.ports import Clock, Gateway, Mirror
from app.domain.times import DAY_MS
from app.domain.views import drift_info


class Drift:
    """Reads the history live: it is too large to mirror."""

    def __init__(self, gateway: Gateway, mirror: Mirror, clock: Clock) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._clock = clock

    def of(self, name: str, days: int) -> list[dict[str, Any]]:
        """Per version, highest first, its points of the last `days` days. Raises `NotFound`."""
        models = self._mirror.versions(name)
        with self._gateway.within(self._gateway.patience):
            points = self._gateway.metric_points([model.row for model in models])
        now = self._clock()
        entries = (drift_info(m, points.get(m.row.version, ()), now - days * DAY_MS, now) for m in models)
        return [entry for entry in entries if entry is not None]
