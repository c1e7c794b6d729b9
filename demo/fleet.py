"""What the demo registry holds: which models, in which versions, in which stages."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Version:
    """One version: a scikit-learn estimator by name, with its parameters; numbered in order from 1."""

    estimator: str
    params: dict[str, Any] = field(default_factory=dict)
    stage: str = "None"
    alias: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Model:
    """One registered model on one task; `task` is a function of `demo.data`, `drifts` that its batches do.

    Not every team tags what kind a model is: where `says_kind` is false, its metrics alone tell. Labels of a day are
    known `labels_late_days` later, and it is scored then.
    """

    name: str
    task: str
    kind: str
    experiment: str
    team: str
    owner: str
    description: str
    versions: tuple[Version, ...]
    drifts: bool = False
    says_kind: bool = True
    labels_late_days: int = 0

    @property
    def champion(self) -> int:
        """The version in Production, by its alias where there are no stages."""
        return next(number for number, version in enumerate(self.versions, 1) if version.alias == "champion")


FLEET = (
    Model(
        "breast-cancer-screening", "breast_cancer", "classifier", "diagnostics", "diagnostics", "ada",
        "Malignant or benign, of cell nuclei in a fine needle aspirate",
        (
            Version("DecisionTreeClassifier", {"max_depth": 1}, "Archived", None, "One question, to begin with"),
            Version("GaussianNB", {}, "Archived", None, "Naive Bayes"),
            Version("RandomForestClassifier", {"n_estimators": 60}, "Production", "champion", "Forest of 60 trees"),
            Version("LogisticRegression", {"C": 0.5, "max_iter": 5000}, "Staging", "challenger", "Scaled, regularised"),
        ),
    ),
    Model(
        "digit-recognition", "digits", "classifier", "scanning", "scanning", "grace",
        "Handwritten digits from a form scanner. Its scanner has been getting noisier",
        (
            Version("DecisionTreeClassifier", {"max_depth": 8}, "Archived", None, "Baseline tree"),
            Version("KNeighborsClassifier", {"n_neighbors": 5}, "Archived", None, "Five nearest neighbours"),
            Version("SVC", {"C": 5.0, "gamma": 0.001}, "Production", "champion", "Support vectors"),
        ),
        drifts=True,
        labels_late_days=3,
    ),
    Model(
        "wine-cultivar", "wine", "classifier", "cellar", "cellar", "marie",
        "Which of three cultivars a wine is of, by its chemical analysis",
        (
            Version("DecisionTreeClassifier", {"max_depth": 3}, "Archived", None, "Shallow tree"),
            Version("KNeighborsClassifier", {"n_neighbors": 15}, "Production", "champion", "Neighbours"),
            Version("GaussianNB", {}, "Staging", "challenger", "Naive Bayes"),
        ),
    ),
    Model(
        "iris-species", "iris", "classifier", "botany", "botany", "carl",
        "Which species an iris is, by its measures. Uses aliases only",
        (
            Version("DecisionTreeClassifier", {"max_depth": 2}, "None", "challenger", "Two questions"),
            Version("LogisticRegression", {"max_iter": 2000}, "None", "champion", "Logistic regression"),
        ),
        says_kind=False,
    ),
    Model(
        "diabetes-progression", "diabetes", "regressor", "diagnostics", "diagnostics", "ada",
        "Progression of diabetes a year after the baseline",
        (
            Version("DummyRegressor", {}, "Archived", None, "The mean, to compare with"),
            Version("Ridge", {"alpha": 1.0}, "Production", "champion", "Ridge regression"),
            Version("GradientBoostingRegressor", {"max_depth": 2}, "Staging", "challenger", "Boosted"),
        ),
    ),
    Model(
        "wine-alcohol-content", "wine_alcohol", "regressor", "cellar", "cellar", "marie",
        "Alcohol of a wine, by the rest of its analysis",
        (
            Version("LinearRegression", {}, "Archived", None, "Least squares"),
            Version("RandomForestRegressor", {"n_estimators": 60}, "Production", "champion", "Forest of 60 trees"),
        ),
        says_kind=False,
    ),
    Model(
        "petal-width", "petal_width", "regressor", "botany", "botany", "carl",
        "Width of a petal, by the other measures",
        (
            Version("DecisionTreeRegressor", {"max_depth": 2}, "Staging", "challenger", "Two questions"),
            Version("Ridge", {"alpha": 0.1}, "Production", "champion", "Ridge regression"),
        ),
    ),
)  # fmt: skip
