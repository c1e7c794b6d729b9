"""Performance without labels: how near the estimate is on real and made data, and when there is none."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.data_drift.batch import Batch
from app.domain.data_drift.binning import numeric_bins
from app.domain.data_drift.bins import NumericBins
from app.domain.data_drift.counts import RowCounts
from app.domain.data_drift.estimates import performances
from app.domain.data_drift.estimating import Calibration, calibrated, contradicted, estimated
from app.domain.data_drift.figures import cells_of, realised
from app.domain.data_drift.outcomes import Outcomes
from app.domain.errors import InvalidInput

Floats = np.ndarray


def outcomes(bins: NumericBins, scores: Floats, true: Floats | None = None) -> Outcomes:
    """Counts of the scores of all classes: (rows, classes)."""
    said, classes = scores.argmax(axis=1), scores.shape[1]
    cells = np.searchsorted(np.array(bins.edges), score(scores), side="right")
    counts = np.zeros((classes, bins.cells, 1 if true is None else classes), dtype=int)
    np.add.at(counts, (said, cells, 0 if true is None else true), 1)
    of = tuple(tuple(tuple(cell) for cell in of_class) for of_class in counts.tolist())
    return Outcomes(tuple(f"c{number}" for number in range(classes)), of)


def score(scores: Floats) -> Floats:
    return scores[:, 1] if scores.shape[1] == 2 else scores.max(axis=1)


def data(name: str) -> tuple[Floats, Floats]:
    if name == "breast cancer":
        features, true = load_breast_cancer(return_X_y=True)
        return features[:, :10], true
    if name.startswith("digits"):
        digits, true = load_digits(return_X_y=True)
        return digits, (true >= 5).astype(int) if name == "digits, two classes" else true
    made: tuple[Floats, Floats] = make_classification(
        12_000, 10, n_informative=8, n_classes=4 if name == "made, four classes" else 2, flip_y=0.05, random_state=1
    )
    return made


def errors(name: str, seed: int) -> Floats:
    """A row a shifted window: the errors of the estimated accuracy and AUC, and those of assuming no change.

    Rows are drawn again, with weights by how sure the model is, or by one of the inputs.
    """
    features, true = data(name)
    rng = np.random.default_rng(seed)
    train, reference, rest = np.split(rng.permutation(len(true)), [len(true) // 5, len(true) * 3 // 5])
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    trees = HistGradientBoostingClassifier(max_iter=25, max_depth=3)
    model = (trees if name.startswith("made") else linear).fit(features[train], true[train])
    scores = model.predict_proba(features)
    bins = numeric_bins(score(scores[reference]))
    labelled = outcomes(bins, scores[reference], true[reference])
    calibration, before = calibrated(labelled), realised(labelled)
    result = []
    for window in range(24):
        by = 1 - scores[rest].max(axis=1) if window % 2 else features[rest, rng.integers(features.shape[1])]
        weights = np.exp(rng.choice([-1.5, -1, 1, 1.5]) * ((by - by.mean()) / (by.std() + 1e-9)).clip(-2.5, 2.5))
        rows = rng.choice(rest, 1000, p=weights / weights.sum())
        expected = estimated(calibration, outcomes(bins, scores[rows])).figures
        if expected is not None:
            seen = realised(outcomes(bins, scores[rows], true[rows]))
            result.append([
                abs(expected.accuracy - seen.accuracy), abs(before.accuracy - seen.accuracy),
                abs((expected.roc_auc or 0) - (seen.roc_auc or 0)), abs((before.roc_auc or 0) - (seen.roc_auc or 0)),
            ])  # fmt: skip
    return np.array(result).reshape(-1, 4)


@pytest.mark.parametrize(
    "name", ["breast cancer", "digits", "digits, two classes", "made, two classes", "made, four classes"]
)
def test_under_covariate_shift_the_estimate_errs_at_most_half_as_much_as_assuming_no_change(name: str) -> None:
    found = np.concatenate([errors(name, seed) for seed in range(2)])
    accuracy, unchanged, auc, unchanged_auc = found.mean(axis=0)
    assert len(found) >= 20
    assert accuracy <= unchanged / 2
    assert auc <= unchanged_auc / 2


def binary(rng: np.random.Generator, rows: int, slope: float = 1, offset: float = 0) -> tuple[Floats, Floats]:
    """Scores of a calibrated model, and labels whose log odds are slope · the score's + offset."""
    odds = rng.normal(0, 2, rows)
    score = 1 / (1 + np.exp(-odds))
    return np.stack([1 - score, score], axis=1), (rng.random(rows) < 1 / (1 + np.exp(-slope * odds - offset))).astype(
        int
    )


@pytest.fixture(scope="module")
def reference() -> tuple[NumericBins, Calibration]:
    scores, true = binary(np.random.default_rng(1), 20_000)
    bins = numeric_bins(score(scores))
    return bins, calibrated(outcomes(bins, scores, true))


@pytest.mark.parametrize("classes", [2, 3])
def test_realised_figures_are_those_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(classes), 60).round(2)
    true = rng.integers(0, classes, 60)
    bins = NumericBins(tuple((np.arange(0, 100) / 100 + 0.005).tolist()))
    seen, said = realised(outcomes(bins, scores, true)), scores.argmax(axis=1)
    how = {"zero_division": 0, "average": "binary" if classes == 2 else "macro", "labels": range(classes)}
    assert seen.accuracy == pytest.approx(accuracy_score(true, said))
    assert seen.precision == pytest.approx(precision_score(true, said, **how))
    assert seen.recall == pytest.approx(recall_score(true, said, **how))
    assert seen.f1 == pytest.approx(f1_score(true, said, **how))
    assert seen.roc_auc == (pytest.approx(roc_auc_score(true, scores[:, 1])) if classes == 2 else None)


def test_an_estimate_does_not_see_that_the_concept_changed_until_labels_contradict_it(
    reference: tuple[NumericBins, Calibration],
) -> None:
    bins, calibration = reference
    scores, turned = binary(np.random.default_rng(2), 2000, slope=0.2)
    unlabelled, labelled = outcomes(bins, scores), outcomes(bins, scores, turned)
    expected = estimated(calibration, unlabelled).figures
    assert expected is not None
    assert expected.accuracy > realised(labelled).accuracy + 0.1
    assert "Labels that came later contradict the reference" in (contradicted(calibration, cells_of(labelled)) or "")


def test_an_estimate_ends_soon_after_the_concept_changed_however_long_labels_agreed(
    reference: tuple[NumericBins, Calibration],
) -> None:
    bins, _ = reference
    rng = np.random.default_rng(1)

    def window(rows: int, slope: float) -> Batch:
        scores, true = binary(rng, rows, slope)
        return Batch(RowCounts(rows, {}), outcomes=outcomes(bins, scores), labelled=outcomes(bins, scores, true))

    found = performances(window(20_000, 1), [window(300, 0.6 if day >= 40 else 1) for day in range(45)])
    withheld = [day for day, one in enumerate(found) if one.reason]
    assert withheld
    assert 40 <= withheld[0] < 44
    assert "contradict the reference" in (found[-1].reason or "")


def test_labels_that_agree_contradict_nothing(reference: tuple[NumericBins, Calibration]) -> None:
    bins, calibration = reference
    for seed in range(50):
        scores, true = binary(np.random.default_rng(seed), 500)
        assert contradicted(calibration, cells_of(outcomes(bins, scores, true))) is None


def test_scores_of_the_wrong_class_give_no_estimate() -> None:
    scores, true = binary(np.random.default_rng(1), 5000)
    bins = numeric_bins(1 - score(scores))
    calibration = calibrated(outcomes(bins, scores[:, ::-1], true))
    assert estimated(calibration, outcomes(bins, scores[:, ::-1])).reason == (
        "The scores are not usable: in the reference, a higher score is not right more often."
    )


def test_a_model_that_is_too_sure_gets_an_estimate_all_the_same() -> None:
    rng = np.random.default_rng(1)
    scores, true = binary(rng, 5000, slope=0.3)
    bins = numeric_bins(score(scores))
    later, labels = binary(rng, 5000, slope=0.3)
    expected = estimated(calibrated(outcomes(bins, scores, true)), outcomes(bins, later)).figures
    assert expected is not None
    assert expected.accuracy == pytest.approx(realised(outcomes(bins, later, labels)).accuracy, abs=0.02)


def test_few_labels_give_no_estimate() -> None:
    scores, true = binary(np.random.default_rng(1), 150)
    bins = numeric_bins(score(scores))
    assert "150 labelled rows" in (calibrated(outcomes(bins, scores, true)).reason or "")


def test_scores_that_the_reference_hardly_has_give_no_estimate(reference: tuple[NumericBins, Calibration]) -> None:
    bins, calibration = reference
    sure = np.tile([0.0001, 0.9999], (1000, 1))
    assert "100 % of the rows have a score that the labelled reference hardly has" in (
        estimated(calibration, outcomes(bins, sure)).reason or ""
    )


def test_a_window_without_scores_gives_no_estimate(reference: tuple[NumericBins, Calibration]) -> None:
    bins, calibration = reference
    nothing = outcomes(bins, np.empty((0, 2)))
    assert estimated(calibration, nothing).reason == "No row has a prediction and a score."


def test_outcomes_add_up_and_those_of_other_classes_are_refused() -> None:
    one = Outcomes(("no", "yes"), (((1, 2),), ((3, 4),)), 1)
    assert one + one == Outcomes(("no", "yes"), (((2, 4),), ((6, 8),)), 2)
    assert (one + one).rows == 22
    with pytest.raises(InvalidInput, match="classes"):
        _ = one + Outcomes(("yes", "no"), one.counts)
