"""A series as tags: batches count once they are whole, in any order; a window without a reference teaches one."""

import random
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.data_drift.batch import Batch
from app.domain.data_drift.batch_json import batch_value
from app.domain.data_drift.binning import counted, numeric_bins
from app.domain.data_drift.bins import NumericBins
from app.domain.data_drift.counts import ColumnCounts, RowCounts
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.layout_json import layout_value
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.sentence import sentence
from app.domain.data_drift.series import (
    About,
    Series,
    StoredBatch,
    batch_tags,
    compressed,
    content_of,
    series_from,
    series_tags,
    windows_of,
    withdrawal_tags,
)
from app.domain.own_runs import OwnRun
from app.services.data_drift.job import done
from app.services.data_drift.judge_job import judged
from app.services.data_drift.judge_order import JudgeOrder
from app.services.data_drift.order import JSON, Order

DAY = 86_400_000
ABOUT = About("m", 1, 7, 8, "ada", True)
BINS = numeric_bins(np.random.default_rng(1).normal(size=20_000))
LAYOUT = Layout({"age": BINS, "amount": BINS})


def rows(seed: int, count: int = 2000, shift: float = 0.0) -> Batch:
    rng = np.random.default_rng(seed)
    columns = {
        "age": ColumnCounts(counted(BINS, rng.normal(size=count) + shift)),
        "amount": ColumnCounts(counted(BINS, rng.normal(size=count))),
    }
    return Batch(RowCounts(count, columns))


def stored(batch_id: str, day: int, batch: Batch) -> StoredBatch:
    body = compressed(batch_value(batch))
    start, end = day * DAY, (day + 1) * DAY
    return StoredBatch(batch_id, start, end, batch.rows, 1, content_of(body, start, end), body)


def read(tags: dict[str, str]) -> Series:
    series = series_from(OwnRun("run", 0, True, tags))
    assert series is not None
    return series


def report(series: Series, floor: float = 0.05) -> dict:
    windows = [(*window, [one.body for one in parts]) for window, parts in windows_of(series.counted).items()]
    outcome = judged(JudgeOrder(series.layout, series.reference, windows, floor))
    assert outcome.report is not None, outcome.problem
    return outcome.report


def series_tags_of(reference: Batch | None) -> dict[str, str]:
    packed = compressed(batch_value(reference)) if reference else None
    return series_tags(replace(ABOUT, is_sent=reference is not None), compressed(layout_value(LAYOUT)), packed)


@settings(max_examples=15, deadline=None)
@given(st.randoms())
def test_the_order_of_the_writes_and_the_split_of_a_window_change_nothing(random: object) -> None:
    one = [stored(f"b{day}", day, rows(day)) for day in range(3)]
    two = [stored(f"a{day}", day, rows(10 + day, 500)) for day in range(3)]
    whole = [stored(f"w{day}", day, rows(day) + rows(10 + day, 500)) for day in range(3)]
    reference = series_tags_of(rows(99, 20_000))
    tags = [pair for batch in one + two for pair in batch_tags(batch).items()]
    random.shuffle(tags)
    split = read(reference | dict(tags))
    joined = read(reference | {key: text for batch in whole for key, text in batch_tags(batch).items()})
    assert report(split) == report(joined)


def test_a_batch_of_which_a_tag_is_missing_does_not_count_and_one_that_was_withdrawn_does_not_either() -> None:
    batch, withdrawn = stored("whole", 1, rows(1)), stored("withdrawn", 1, rows(2))
    torn = batch_tags(stored("torn", 1, rows(3)))
    torn.popitem()
    tags = (
        series_tags_of(None) | batch_tags(batch) | batch_tags(withdrawn) | torn | withdrawal_tags("withdrawn", 2, "a")
    )
    assert [one.batch_id for one in read(tags).counted] == ["whole"]
    damaged = {**tags, next(key for key in batch_tags(batch) if key.endswith(".head")): "{"}
    assert (read(damaged).counted, read(damaged).damaged) == ([], 1)


@pytest.mark.parametrize(("start", "end"), [(-DAY, 0), (DAY, DAY), (DAY, 10**18)])
def test_a_window_that_no_answer_can_show_does_not_count_and_the_others_do(start: int, end: int) -> None:
    good = stored("good", 1, rows(1))
    strange = batch_tags(replace(stored("strange", 1, rows(2)), start=start, end=end))
    series = read(series_tags_of(None) | batch_tags(good) | strange)
    assert ([one.batch_id for one in series.counted], series.damaged) == (["good"], 1)


@pytest.mark.parametrize("key", ["control_tower.series", "control_tower.layout.0"])
def test_a_series_that_is_not_whole_is_none(key: str) -> None:
    tags = series_tags_of(None)
    del tags[key]
    assert series_from(OwnRun("run", 0, True, tags)) is None


def test_moved_inputs_are_named_with_the_day_since_when() -> None:
    batches = [stored(f"b{day}", day, rows(day, shift=0.5 if day >= 27 else 0)) for day in range(30)]
    found = report(read(series_tags_of(rows(99, 20_000)) | {k: t for b in batches for k, t in batch_tags(b).items()}))
    summary = found["summary"]
    assert [one["name"] for one in summary["moved_inputs"]] == ["age"]
    assert summary["moved_since"] == "1970-01-28T00:00:00Z"
    assert "of the mass moved" in summary["moved_inputs"][0]["words"]
    assert [column["verdict"] for column in found["windows"][-1]["columns"]] == ["moved", "quiet"]


def test_the_words_of_what_moved_are_by_the_limit_that_was_set() -> None:
    batches = [stored(f"b{day}", day, rows(day, 20_000, shift=0.08 if day >= 27 else 0)) for day in range(30)]
    series = read(series_tags_of(rows(99, 20_000)) | {k: t for b in batches for k, t in batch_tags(b).items()})
    assert report(series)["summary"]["moved_inputs"] == []
    (moved,) = report(series, floor=0.02)["summary"]["moved_inputs"]
    assert "of the mass moved" in moved["words"]


def test_without_a_reference_the_first_ten_windows_are_it_whatever_came_first() -> None:
    batches = [stored(f"b{day}", day, rows(day)) for day in range(12)]
    tags = series_tags_of(None)
    for batch in reversed(batches):
        tags |= batch_tags(batch)
    found = report(read(tags))
    assert (found["reference_windows"], found["reference_rows"]) == (10, 20_000)
    assert [window["is_reference"] for window in found["windows"]] == [True] * 10 + [False] * 2
    assert found["summary"]["is_learning"]
    assert "first 10 windows are the reference" in sentence(found["summary"], 0)


def test_an_estimate_that_fell_and_the_realised_figures_stand_beside_each_other() -> None:
    layout = Layout({"p": NumericBins((0.25, 0.5, 0.75)), "said": BINS}, "said", "p", "true", ("no", "yes"))
    cells = np.array([[[450, 50], [300, 200], [0, 0], [0, 0]], [[0, 0], [0, 0], [200, 300], [50, 450]]])

    def outcomes(weights: list[int], last: bool) -> Outcomes:
        counts = cells * np.array(weights)[None, :, None]
        counts = counts if last else counts.sum(axis=2, keepdims=True)
        return Outcomes(layout.classes, tuple(tuple(tuple(c) for c in of) for of in counts.tolist()))

    def window(day: int, weights: list[int], labelled: bool) -> tuple[int, int, list[bytes]]:
        said = outcomes(weights, False)
        batch = Batch(RowCounts(said.rows, {}), outcomes=said, labelled=outcomes(weights, True) if labelled else None)
        return day * DAY, (day + 1) * DAY, [compressed(batch_value(batch))]

    reference = replace(Batch(RowCounts(2000, {})), labelled=outcomes([1, 1, 1, 1], True))
    windows = [window(day, [10, 10, 10, 10], day == 3) for day in range(20)]
    windows += [window(day, [2, 18, 18, 2], False) for day in range(20, 22)]
    packed = compressed(layout_value(layout)), compressed(batch_value(reference))
    outcome = judged(JudgeOrder(*packed, windows, 0.05))
    assert outcome.report is not None, outcome.problem
    assert outcome.report["summary"]["estimated_fall"]["figure"] == "accuracy"
    third = outcome.report["windows"][3]
    assert third["realised"]["accuracy"] == third["estimated"]["accuracy"] == pytest.approx(0.75)


def test_segments_are_judged_in_the_same_family_as_all_rows() -> None:
    """What is clear of one column alone may be chance among that column in twenty shops."""

    def body(count: int, seed: int, shift: float = 0.0) -> bytes:
        rng = random.Random(seed)
        some = [{"x": rng.gauss(shift, 1), "shop": f"s{rng.randrange(20):02}"} for _ in range(count)]
        return orjson.dumps({"rows": some})

    def verdict(segments: tuple[str, ...]) -> str:
        reference = done(Order(JSON, segments=segments), body(4000, 1))
        windows = []
        for window in range(14):
            sent = body(1000, 100 + window, 0.2 if window >= 12 else 0.0)
            counts = done(Order(JSON, layout=reference.layout), sent).batch
            windows.append((window * DAY, (window + 1) * DAY, [compressed(counts)]))
        found = judged(JudgeOrder(compressed(reference.layout), compressed(reference.batch), windows, 0.05)).report
        assert found is not None
        columns = found["windows"][-1]["columns"]
        assert len(columns) == (22 if segments else 2)
        return next(one["verdict"] for one in columns if (one["name"], one["segment"]) == ("x", None))

    assert (verdict(()), verdict(("shop",))) == ("moved", "quiet")
