"""The effective stage, the model type and the owner of a version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.domain.errors import InvalidInput
from app.domain.registry.models import ModelVersion, Tags, TrackedModel

STAGES = ("None", "Staging", "Production", "Archived")
STAGES_IN_USE = ("Production", "Staging")
MODEL_TYPES = ("classifier", "regressor")

_CLASSIFIER_WORDS = (
    "accuracy", "precision", "recall", "f1", "auc", "roc", "log_loss", "logloss", "cross_entropy", "gini",
    "mcc", "kappa",
)  # fmt: skip
_REGRESSOR_WORDS = ("rmse", "mae", "mse", "mape", "r2", "msle", "mean_squared", "mean_absolute", "max_error")


@dataclass(frozen=True, slots=True)
class StageRules:
    """Which aliases stand for Production and Staging where MLflow's stage is `None`."""

    production: frozenset[str]
    staging: frozenset[str]

    def effective(self, stage: str, aliases: Iterable[str]) -> tuple[str, str]:
        """The effective stage and its source, `stage` or `alias`. MLflow aliases ignore case."""
        if stage != "None":
            return stage, "stage"
        lowered = {alias.lower() for alias in aliases}
        if lowered & self.production:
            return "Production", "alias"
        if lowered & self.staging:
            return "Staging", "alias"
        return stage, "stage"


def stage_rules(production: Iterable[str], staging: Iterable[str]) -> StageRules:
    """Rules from two lists of alias names."""
    return StageRules(frozenset(a.lower() for a in production), frozenset(a.lower() for a in staging))


def stage_named(text: str) -> str:
    """The stage of this name, in any case as for MLflow. Raises `InvalidInput`."""
    for stage in STAGES:
        if stage.casefold() == text.casefold():
            return stage
    raise InvalidInput(f"stage: must be one of {', '.join(STAGES)}.")


def implied_type(metrics: Iterable[str]) -> str | None:
    """The model type that more of the metric names suggest; None on a tie."""
    votes = [_votes(name) for name in metrics]
    classifier, regressor = sum(vote[0] for vote in votes), sum(vote[1] for vote in votes)
    if classifier == regressor:
        return None
    return "classifier" if classifier > regressor else "regressor"


# Kept, since thousands of versions have metrics of the same names.
@lru_cache(maxsize=4096)
def _votes(metric: str) -> tuple[bool, bool]:
    """Whether a metric name suggests a classifier, and whether it suggests a regressor."""
    name = metric.lower()
    return any(word in name for word in _CLASSIFIER_WORDS), any(word in name for word in _REGRESSOR_WORDS)


def owner_in(tags: Tags) -> str | None:
    """The value of the tag `owner`, in any case, without blanks around it; None where it has none."""
    if not tags:
        return None
    keys = ["owner", *sorted(key for key in tags if len(key) == len("owner") and key.lower() == "owner")]
    return next((value for key in keys if (value := tags.get(key, "").strip())), None)


def track(row: ModelVersion, aliases: Iterable[str], rules: StageRules, owner: str | None = None) -> TrackedModel:
    """A version with its effective stage, its type and its owner. `owner` is that of the registered model."""
    names = tuple(sorted(aliases))
    stage, source = rules.effective(row.stage, names)
    model_type = row.tags.get("model_type") or row.run_model_type or implied_type(row.metrics)
    return TrackedModel(row, names, stage, source, model_type, owner_in(row.tags) or owner)


def aliases_by_version(aliases: Mapping[str, int]) -> dict[int, list[str]]:
    """`{alias: version}` turned round."""
    turned: dict[int, list[str]] = {}
    for alias, version in aliases.items():
        turned.setdefault(version, []).append(alias)
    return turned
