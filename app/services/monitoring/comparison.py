"""Champion against challenger: two versions of a model, read from MLflow now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.domain.comparison.comparison import compare, non_inferior
from app.domain.errors import InvalidInput, NotFound
from app.domain.messages import no_registered_model
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.evidence import series_by_metric
from app.domain.monitoring.monitored import first_of_each
from app.domain.ports import Clock, Gateway
from app.domain.registry.fleet import segment
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.names import version_number
from app.domain.registry.stages import StageRules


class Comparison:
    """Reads all of it live, the aliases too: whoever asks is about to move one."""

    def __init__(self, gateway: Gateway, rules: StageRules, clock: Clock) -> None:
        self._gateway = gateway
        self._rules = rules
        self._clock = clock

    def of(
        self, name: str, baseline: str, candidate: str, margin: float = 0.0, metrics: Collection[str] = ()
    ) -> dict[str, Any]:
        """Compare two versions, each named by its number or an alias, in every metric or in those named.

        `margin` is how much worse the candidate may be, in the metrics' unit. Raises `NotFound` for a model, version
        or alias that MLflow does not know, `InvalidInput` where both name one version.
        """
        with self._gateway.within(self._gateway.patience):
            versions = self._versions(name)
            first, second = (_chosen(name, versions, text) for text in (baseline, candidate))
            if first.key == second.key:
                # It is never worse than itself: a gate would pass whatever the candidate is.
                raise InvalidInput(_one_version(first, baseline, candidate))
            registrations = self._registrations([first, second])
            rows = {model.key: model.row for model in (first, second)}
            monitor_runs = {key: one.monitor_run_id for key, one in registrations.items()}
        evidence = self._gateway.evidence(list(rows.values()), monitor_runs)
        known = registrations.get(first.key)
        settings = settings_or_default(known.settings if known else {})
        now = self._clock()
        ours, theirs = (series_by_metric(evidence.get(model.key, ()), now) for model in (first, second))
        compared = compare(ours, theirs, margin, settings.direction_of, metrics)
        return {
            "name": name,
            "baseline": _told(first, baseline),
            "candidate": _told(second, candidate),
            "margin": margin,
            "non_inferior": non_inferior(compared, metrics),
            "metrics": [asdict(row) for row in compared],
        }

    def _versions(self, name: str) -> Sequence[TrackedModel]:
        reading = self._gateway.read_models([name], [])[name]
        if reading.model is None:
            raise NotFound(no_registered_model(name))
        return segment("", [reading.model], reading.versions or (), self._rules).by_name.get(name, ())

    def _registrations(self, models: Sequence[TrackedModel]) -> Mapping[VersionKey, Registration]:
        """The registrations of these versions, and not of ones deleted and made again."""
        kept, _ = first_of_each(self._gateway.open_registrations() or ())
        created = {model.key: model.row.created for model in models}
        return {key: one for key, one in kept.items() if created.get(key) == one.version_created}


def _chosen(name: str, versions: Sequence[TrackedModel], text: str) -> TrackedModel:
    """The version of this number; else the one with this alias, in any case where none has it as it is written."""
    number = version_number(text)
    if number is not None:
        found = [model for model in versions if model.row.version == number]
    else:
        found = [model for model in versions if text in model.aliases]
        found += [model for model in versions if text.casefold() in map(str.casefold, model.aliases)]
    if not found:
        what = f"version {text}" if number is not None else f"version with the alias {text!r}"
        raise NotFound(f"The registered model {name!r} has no {what}.")
    return found[0]


def _one_version(model: TrackedModel, baseline: str, candidate: str) -> str:
    both = f"{baseline!r} and {candidate!r}" if baseline != candidate else f"{baseline!r}, twice,"
    told = "" if version_number(baseline) and baseline == candidate else f" ({both})"
    return f"baseline and candidate are both version {model.row.version}{told}. Name two versions to compare."


def _told(model: TrackedModel, text: str) -> dict[str, str | None]:
    alias = None if version_number(text) else text
    return {"version": str(model.row.version), "alias": alias, "stage": model.stage}
