"""Names that come from a client: versions, and tags of the tower's own."""

import hashlib
import posixpath
import re

_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)
_EXPERIMENT_ID = re.compile(r"[0-9]{1,18}\Z", re.ASCII)

# What MLflow takes at most, in characters: as the name of a metric or a run (mlflow.utils.validation), and as an alias.
LONGEST_NAME, LONGEST_ALIAS = 250, 255
# MLflow cuts a longer tag of a run without a word.
LONGEST_TAG = 8000
_METRIC = re.compile(rf"[/\w.\- :]{{1,{LONGEST_NAME}}}\Z")

EVALUATES = "control_tower.evaluates"


def version_number(text: str) -> int | None:
    """The number of a version as clients write it, None for what MLflow would not mean by it."""
    return int(text) if _VERSION.match(text) else None


def is_experiment_id(text: str) -> bool:
    """Whether MLflow could know an experiment by this id."""
    return bool(_EXPERIMENT_ID.match(text))


def registration_key(name: str, version: int) -> str:
    """A tag value that finds the monitor run of a version whatever characters its name holds."""
    return hashlib.sha256(f"{version}\n{name}".encode()).hexdigest()


def is_metric_name(text: str) -> bool:
    """Whether MLflow takes this as the name of a metric: a path in its normal form, which leaves its folder never."""
    return bool(_METRIC.match(text)) and posixpath.normpath(text) == text != "." and not text.startswith(("..", "/"))
