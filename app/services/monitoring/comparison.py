"""The comparison of two versions of a model, such as champion and challenger, read live from MLflow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.domain.comparison.comparison import compare, non_inferior, passes
from app.domain.comparison.requirements import Requirements
from app.domain.errors import InvalidInput, NotFound
from app.domain.messages import no_registered_model
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.evidence import points_by_metric, series_by_metric
from app.domain.monitoring.monitored import first_of_each
from app.domain.ports import Clock, Gateway
from app.domain.registry.fleet import segment
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.names import version_number
from app.domain.registry.stages import StageRules


class Comparison:
    """Reads everything live, even the aliases, since the client is about to move one of them."""

    def __init__(self, gateway: Gateway, rules: StageRules, clock: Clock) -> None:
        self._gateway = gateway
        self._rules = rules
        self._clock = clock

    def of(
        self, name: str, baseline: str, candidate: str, required: Requirements, metrics: Collection[str] = ()
    ) -> dict[str, Any]:
        """Compare two versions, each given by its number or an alias, in all metrics or only in `metrics`.

        Raises `NotFound` for a model, version or alias that MLflow does not know, and `InvalidInput` where both are the
        same version.
        """
        with self._gateway.within(self._gateway.patience):
            versions = self._versions(name)
            first, second = (_chosen(name, versions, text) for text in (baseline, candidate))
            if first.key == second.key:
                # A version is never worse than itself, so a gate would always pass.
                raise InvalidInput(_same_version(first, baseline, candidate))
            registrations = self._registrations([first, second])
            rows = {model.key: model.row for model in (first, second)}
            monitor_runs = {key: registration.monitor_run_id for key, registration in registrations.items()}
        to_read = {*metrics, *required.limited(), *required.margins} if metrics else ()
        evidence = self._gateway.evidence(list(rows.values()), monitor_runs, to_read)
        known = registrations.get(first.key)
        settings = settings_or_default(known.settings if known else {})
        now = self._clock()
        ours, theirs = (
            series_by_metric(points_by_metric(evidence.get(model.key, ())), now) for model in (first, second)
        )
        compared = compare(ours, theirs, required, settings.direction_of, metrics)
        return {
            "name": name,
            "baseline": _side(first, baseline),
            "candidate": _side(second, candidate),
            "margin": required.margin,
            "non_inferior": non_inferior(compared, metrics),
            "passes": passes(compared, metrics),
            "metrics": [asdict(row) for row in compared],
        }

    def _versions(self, name: str) -> Sequence[TrackedModel]:
        reading = self._gateway.read_models([name], [])[name]
        if reading.model is None:
            raise NotFound(no_registered_model(name))
        return segment("", [reading.model], reading.versions or (), self._rules).by_name.get(name, ())

    def _registrations(self, models: Sequence[TrackedModel]) -> Mapping[VersionKey, Registration]:
        """The registrations of these versions, without those of deleted versions with the same numbers."""
        kept, _ = first_of_each(self._gateway.open_registrations() or ())
        rows = {model.key: model.row for model in models}
        return {key: kept[key] for key, row in rows.items() if key in kept and kept[key].is_of(row)}


def _chosen(name: str, versions: Sequence[TrackedModel], text: str) -> TrackedModel:
    """The version with this number or alias. Upper and lower case matter only where two aliases differ in them.

    Raises `NotFound`.
    """
    number = version_number(text)
    if number is not None:
        matches = [model for model in versions if model.row.version == number]
    else:
        matches = [model for model in versions if text in model.aliases]
        matches += [model for model in versions if text.casefold() in map(str.casefold, model.aliases)]
    if not matches:
        what = f"version {text}" if number is not None else f"version with the alias {text!r}"
        raise NotFound(f"The registered model {name!r} has no {what}.")
    return matches[0]


def _same_version(model: TrackedModel, baseline: str, candidate: str) -> str:
    names = ""
    if baseline != candidate:
        names = f" ({baseline!r} and {candidate!r})"
    elif version_number(baseline) is None:
        names = f" ({baseline!r})"
    return f"baseline and candidate are both version {model.row.version}{names}. Name two versions to compare."


def _side(model: TrackedModel, text: str) -> dict[str, str | None]:
    alias = None if version_number(text) else text
    return {"version": str(model.row.version), "alias": alias, "stage": model.stage}
