"""Training and scoring: an estimator fitted to a task, and its metrics on a batch."""

from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

from demo.data import Array, Task
from demo.fleet import Model, Version

_ESTIMATORS = dict(all_estimators())
_SEED = 7
_SCALED = ("LogisticRegression", "Ridge", "KNeighborsClassifier", "LinearRegression")


def train(task: Task, version: Version) -> Any:
    """A fitted estimator; the same each time."""
    made = _ESTIMATORS[version.estimator]
    params = dict(version.params)
    if "random_state" in made().get_params():
        params["random_state"] = _SEED
    estimator = made(**params)
    if version.estimator in _SCALED:
        estimator = make_pipeline(StandardScaler(), estimator)
    return estimator.fit(task.x_train, task.y_train)


def score(model: Model, estimator: Any, x: Array, y: Array) -> dict[str, float]:
    """The metrics of an estimator on these rows, as scikit-learn computes them."""
    guessed = estimator.predict(x)
    if model.kind == "regressor":
        return {
            "rmse": float(metrics.root_mean_squared_error(y, guessed)),
            "mae": float(metrics.mean_absolute_error(y, guessed)),
            "r2": float(metrics.r2_score(y, guessed)),
        }
    precision, recall, f1_score, _ = metrics.precision_recall_fscore_support(
        y, guessed, average="macro", zero_division=0
    )
    return {
        "accuracy": float(metrics.accuracy_score(y, guessed)),
        "precision": float(precision),
        "recall": float(recall),
        "f1_score": float(f1_score),
    }


def confidence(estimator: Any, x: Array) -> Array:
    """A classifier's score of each row, which rises with how often it is right.

    The probability of the second of two classes, and of more classes that of the predicted one. Support vectors have
    no probabilities: it is how far the predicted class is ahead of the next one.
    """
    if hasattr(estimator, "predict_proba"):
        probabilities = estimator.predict_proba(x)
        of_two = 2
        return np.asarray(probabilities[:, 1] if probabilities.shape[1] == of_two else probabilities.max(axis=1))
    votes = np.sort(estimator.decision_function(x), axis=1)
    return np.asarray(votes[:, -1] - votes[:, -2])
