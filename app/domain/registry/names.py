"""Names that clients send, and names of the tower's own tags."""

import hashlib
import posixpath
import re
from collections.abc import Iterable

_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)
_EXPERIMENT_ID = re.compile(r"[0-9]{1,18}\Z", re.ASCII)

# The longest that MLflow accepts, in characters: the name of a metric or a run (mlflow.utils.validation), and an alias.
LONGEST_NAME, LONGEST_ALIAS = 250, 255
# MLflow silently truncates a longer tag of a run.
LONGEST_TAG = 8000
_METRIC = re.compile(rf"[/\w.\- :]{{1,{LONGEST_NAME}}}\Z")

EVALUATES = "control_tower.evaluates"

# How much of two names has to be alike, and how many such names are offered.
_LEAST_ALIKE, _MOST_ALIKE = 0.25, 5


def version_number(text: str) -> int | None:
    """The number of a version as clients write it; None if the text is no version number in MLflow."""
    return int(text) if _VERSION.match(text) else None


def is_experiment_id(text: str) -> bool:
    """Whether this can be the id of an experiment in MLflow."""
    return bool(_EXPERIMENT_ID.match(text))


def registration_key(name: str, version: int) -> str:
    """The value of the tag by which the monitor run of a version is searched. A hash, so that any name can be used."""
    return hashlib.sha256(f"{version}\n{name}".encode()).hexdigest()


def is_metric_name(text: str) -> bool:
    """Whether MLflow accepts this as the name of a metric: a normalised path that does not leave its folder."""
    return bool(_METRIC.match(text)) and posixpath.normpath(text) == text != "." and not text.startswith(("..", "/"))


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like a name, the nearest first: those that share runs of three characters."""
    wanted = _runs(name)
    shares = ((_share(wanted, _runs(other)), other) for other in known)
    nearest = sorted((-share, other) for share, other in shares if share >= _LEAST_ALIKE)
    return [other for _, other in nearest[:_MOST_ALIKE]]


def _runs(name: str) -> set[str]:
    text = f" {name.casefold()} "
    return {text[at : at + 3] for at in range(len(text) - 2)}


def _share(some: set[str], others: set[str]) -> float:
    shared = len(some & others)
    return shared / (len(some) + len(others) - shared) if shared else 0.0
