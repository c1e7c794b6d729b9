"""The data: scikit-learn's own data sets, split once; a batch for every day; true drift for one model."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

Array = np.ndarray[Any, np.dtype[Any]]

BATCH_ROWS = 240
_WORST_AFTER_DAYS = 10
_SEED = 20231201


@dataclass(frozen=True)
class Task:
    """Rows to train on, and rows held out, of which the daily batches are drawn.

    `features` are the names of the columns of both. Labels are places in `classes`, which a regression does not have.
    """

    x_train: Array
    y_train: Array
    x_held: Array
    y_held: Array
    features: tuple[str, ...]
    classes: tuple[str, ...]


def _split(x: Array, y: Array, features: Iterable[str], classes: Iterable[object] = ()) -> Task:
    names = tuple(map(str, classes))
    x_train, x_held, y_train, y_held = train_test_split(
        x, y, test_size=0.5, random_state=_SEED, stratify=y if names else None
    )
    return Task(x_train, y_train, x_held, y_held, tuple(map(str, features)), names)


def _labelled(load: Callable[[], Any]) -> Callable[[], Task]:
    def make() -> Task:
        data = load()
        return _split(data.data, data.target, data.feature_names, data.target_names)

    return make


def _column(load: Callable[[], Any], target: int) -> Callable[[], Task]:
    """Predict one column of a data set from the others."""

    def make() -> Task:
        data = load()
        others = np.delete(data.data, target, axis=1)
        return _split(others, data.data[:, target], np.delete(data.feature_names, target))

    return make


def _diabetes() -> Task:
    data = datasets.load_diabetes()
    return _split(data.data, data.target, data.feature_names)


TASKS: dict[str, Callable[[], Task]] = {
    "breast_cancer": _labelled(datasets.load_breast_cancer),
    "digits": _labelled(datasets.load_digits),
    "wine": _labelled(datasets.load_wine),
    "iris": _labelled(datasets.load_iris),
    "diabetes": _diabetes,
    "wine_alcohol": _column(datasets.load_wine, 0),
    "petal_width": _column(datasets.load_iris, 3),
}


def batch(task: Task, name: str, day: date, drift_days: int) -> tuple[Array, Array]:
    """The rows that arrived on a day: the same for the same name and day, whenever it is asked.

    `drift_days` is for how many days the inputs have been drifting: each adds noise to every feature, a
    thirtieth of the feature's own range a day, for ten days. The labels stay true.
    """
    rng = np.random.default_rng([_SEED, zlib.crc32(name.encode()), day.toordinal()])
    rows = rng.integers(0, len(task.y_held), BATCH_ROWS)
    x, y = task.x_held[rows], task.y_held[rows]
    if drift_days > 0:
        noise = min(drift_days, _WORST_AFTER_DAYS) / 30
        x = x + rng.normal(0.0, noise, x.shape) * np.ptp(task.x_held, axis=0)
    return x, y
