"""A small sample fleet, shown instead of nothing while MLflow cannot be reached (`ENABLE_MOCK_DATA`)."""

from dataclasses import replace

from app.domain.registry.fleet import Fleet, swept
from app.domain.registry.models import Experiment, Inventory, ModelVersion, RegisteredModel
from app.domain.registry.stages import StageRules

_MODELS = (
    ("sample-churn", "classifier", {"accuracy": 0.91, "f1_score": 0.88}),
    ("sample-demand", "regressor", {"rmse": 12.4, "r2": 0.81}),
)
# 2023-12-01, always the same, so that a client that already has the sample gets a 304.
_MADE = 1_701_388_800_000
_STAGES = ("Archived", "Staging", "Production")


def sample_fleet(now: int, rules: StageRules) -> Fleet:
    """Two models of three versions each, as if read at `now` (milliseconds)."""
    then = _MADE
    models = tuple(RegisteredModel(name, then, then, "Sample data", {"sample": "true"}) for name, _, _ in _MODELS)
    versions = tuple(
        ModelVersion(name, number, stage, then, then, "Sample data", {"model_type": kind}, metrics=metrics)
        for name, kind, metrics in _MODELS
        for number, stage in enumerate(_STAGES, 1)
    )
    experiments = (Experiment("0", "sample", None, "active", then, then),)
    return replace(swept(None, Inventory(now, models, versions, experiments), rules), mock=True)
