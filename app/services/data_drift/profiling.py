"""A layout from rows: what each column is, and its bins. Rows are read once for it, and again to be counted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.domain.data_drift.binning import categories, numeric_bins
from app.domain.data_drift.bins import CATEGORICAL, NUMERIC, Bins
from app.domain.data_drift.bounds import FEWEST_OF_A_CATEGORY
from app.domain.data_drift.canonical import Time, Value, number_of, text_of, text_of_number
from app.domain.data_drift.figures import BINARY
from app.domain.data_drift.layout import MOST_CLASSES, MOST_SEGMENT_COLUMNS, MOST_SEGMENT_VALUES, Layout
from app.domain.errors import InvalidInput, TooLarge
from app.domain.messages import NO_ROWS
from app.services.data_drift.columns import Chunk, Coded, ColumnValues, Floats, as_numbers, as_texts
from app.services.data_drift.order import IGNORE, KINDS

MOST_VALUES = 20_000_000
"""Values of all rows from which a layout is made: they are in memory together."""
MOST_DISTINCT = 200_000
# The share of values that may be texts in a column of numbers.
_FEW = 0.01
# A prediction of so few whole numbers is one of classes.
_FEW_CLASSES = 20
_SAID = "It was said that it is to be ignored."
_TIMES = "It has times, which always move. Say that it is numeric or categorical if it shall be counted."


@dataclass(frozen=True)
class Columns:
    """What columns are: names of those with a part of their own, and the kinds that somebody said."""

    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    segments: Sequence[str] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


def layout_of(chunks: Iterable[Chunk], said: Columns) -> Layout:
    """The layout of a reference's rows. InvalidInput where a column that was named is not there, or cannot be used."""
    _check(said)
    columns: dict[str, _Column] = {}
    scores = _Scores(said)
    names: set[str] = set()
    rows = values = 0
    for chunk in chunks:
        names |= chunk.names
        rows += chunk.rows
        for name, column in chunk.columns.items():
            columns.setdefault(name, _Column()).add(column)
            values += chunk.rows
        scores.add(chunk)
        if values > MOST_VALUES:
            raise TooLarge(
                f"A reference is made of at most {MOST_VALUES} values. Send fewer rows: 100,000 make good bins."
            )
    if not rows:
        raise InvalidInput(NO_ROWS)
    for what, name in [*_named(said), *((kind, name) for name, kind in said.kinds.items())]:
        if name not in names:
            raise InvalidInput(f"There is no column '{name}', which is named as {what}.")
    return _Laid(columns, scores, said).layout()


class _Column:
    """What is known of a column's values: numbers, and how often each other value is there."""

    def __init__(self) -> None:
        self._numbers: list[Floats] = []
        self._others: Counter[Value] = Counter()
        self._booleans: Counter[bool] = Counter()
        self.has_too_many = False

    def add(self, values: ColumnValues) -> None:
        if not isinstance(values, Coded):
            self._numbers.append(values.values[~np.isnan(values.values)])
            return
        many = np.bincount(values.rows, minlength=len(values.distinct)).tolist()
        for value, count in zip(values.distinct, many, strict=False):
            if isinstance(value, bool):
                self._booleans[value] += count
            elif value is not None and count:
                self._others[value] += count
        self.has_too_many |= len(self._others) > MOST_DISTINCT * 5

    def like(self) -> str:
        """What the values are like: numeric, categorical, or times, which is a kind of its own here."""
        numbers = sum(map(len, self._numbers)) + sum(n for value, n in self._others.items() if type(value) is float)
        times = sum(n for value, n in self._others.items() if isinstance(value, Time))
        present = sum(map(len, self._numbers)) + self._others.total() + self._booleans.total()
        if times and times >= (1 - _FEW) * present:
            return _TIMES
        return NUMERIC if numbers >= (1 - _FEW) * present else CATEGORICAL

    def numbers(self) -> Floats:
        """All values that are numbers in a numeric column."""
        others = [(number_of(value), n) for value, n in (*self._others.items(), *self._booleans.items())]
        known = [(number, n) for number, n in others if number is not None]
        values = np.array([number for number, _ in known], dtype=np.float64)
        return np.concatenate([*self._numbers, np.repeat(values, [n for _, n in known])])

    def texts(self) -> Counter[str]:
        """How often each category is there."""
        many: Counter[str] = Counter()
        for value, n in (*self._others.items(), *self._booleans.items()):
            many[text_of(value) or ""] += n
        for number, n in zip(
            *np.unique(np.concatenate([np.zeros(0), *self._numbers]), return_counts=True), strict=True
        ):
            many[text_of_number(float(number))] += int(n)
        return many

    def is_like_classes(self) -> bool:
        """Whether the values are so few whole numbers that they may be classes."""
        distinct = np.unique(self.numbers())
        return 0 < len(distinct) <= _FEW_CLASSES and bool((distinct == np.floor(distinct)).all())


class _Scores:
    """The mean score of the rows of each predicted class."""

    def __init__(self, said: Columns) -> None:
        self._said = said
        self._rows: Counter[str] = Counter()
        self._sums: dict[str, float] = {}

    def add(self, chunk: Chunk) -> None:
        predicted = chunk.columns.get(self._said.prediction or "")
        score = chunk.columns.get(self._said.score or "")
        if predicted is None or score is None:
            return
        names, rows = as_texts(predicted)
        scores = as_numbers(score)
        known = np.isfinite(scores)
        sums = np.bincount(rows[known], scores[known], len(names)).tolist()
        many = np.bincount(rows[known], minlength=len(names)).tolist()
        for name, total, n in zip(names, sums, many, strict=True):
            if name is not None:
                self._rows[name] += n
                self._sums[name] = self._sums.get(name, 0.0) + total

    def mean(self, name: str) -> float:
        return self._sums[name] / self._rows[name] if self._rows[name] else 0.0


class _Laid:
    """Columns as they are laid out."""

    def __init__(self, columns: Mapping[str, _Column], scores: "_Scores", said: Columns) -> None:
        self._columns = columns
        self._scores = scores
        self._said = said

    def layout(self) -> Layout:
        said = self._said
        ignored = {name: _SAID for name, kind in said.kinds.items() if kind == IGNORE}
        laid: dict[str, Bins] = {}
        for name, column in self._columns.items():
            if name == said.label:
                continue
            kind = self._kind(name, column)
            try:
                laid[name] = self._bins(name, column, kind)
            except InvalidInput as error:
                if name in {named for _, named in _named(said)} or name in said.kinds:
                    raise
                ignored[name] = error.detail
        if not laid:
            raise InvalidInput("No column is left that could be counted.")
        classes = self._classes()
        values = {name: self._columns[name].texts() for name in said.segments}
        segments = {name: _segments(many) for name, many in values.items()}
        others = {name: n for name, many in values.items() if (n := len(many) - len(segments[name]))}
        return Layout(laid, said.prediction, said.score, said.label, classes, segments, ignored, others)

    def _kind(self, name: str, column: _Column) -> str:
        said = self._said
        if name in said.kinds:
            return said.kinds[name]
        if name == said.score:
            return NUMERIC
        if name in said.segments:
            return CATEGORICAL
        like = column.like()
        if name == said.prediction and (said.score or (like == NUMERIC and column.is_like_classes())):
            return CATEGORICAL
        return like

    def _bins(self, name: str, column: _Column, kind: str) -> Bins:
        if kind == NUMERIC:
            return numeric_bins(column.numbers())
        if kind != CATEGORICAL:
            raise InvalidInput(kind)
        if column.has_too_many:
            raise InvalidInput(f"Column '{name}' looks like an identifier: more than {MOST_DISTINCT} different texts.")
        return categories(name, column.texts().elements())

    def _classes(self) -> tuple[str, ...]:
        """The classes that are predicted or true, in order: of two, the one with the higher scores is the last."""
        said = self._said
        if said.prediction is None or self._kind(said.prediction, self._columns[said.prediction]) != CATEGORICAL:
            return ()
        many = self._columns[said.prediction].texts()
        if said.label is not None:
            many += self._columns[said.label].texts()
        if len(many) > MOST_CLASSES:
            raise InvalidInput(f"Column '{said.prediction}' has {len(many)} classes: at most {MOST_CLASSES}.")
        in_order = sorted(many, key=lambda name: (self._scores.mean(name) if len(many) == BINARY else 0, name))
        return tuple(in_order) if len(many) > 1 else ()


def _segments(many: Counter[str]) -> tuple[str, ...]:
    """The most frequent values of a column, none of which is rare."""
    known = [value for value, n in many.items() if n >= FEWEST_OF_A_CATEGORY]
    return tuple(sorted(known, key=lambda value: (-many[value], value))[:MOST_SEGMENT_VALUES])


def _named(said: Columns) -> list[tuple[str, str]]:
    named = [("prediction", said.prediction), ("score", said.score), ("label", said.label)]
    return [(what, name) for what, name in named if name is not None] + [("segment", name) for name in said.segments]


def _check(said: Columns) -> None:
    for name, kind in said.kinds.items():
        if kind not in KINDS:
            raise InvalidInput(f"The kind of column '{name}' must be one of {', '.join(KINDS)}.")
    if len(said.segments) > MOST_SEGMENT_COLUMNS:
        raise InvalidInput(f"There are {len(said.segments)} segments: at most {MOST_SEGMENT_COLUMNS} columns.")
    names = [name for _, name in _named(said) if name not in said.segments]
    if len(set(names)) != len(names):
        raise InvalidInput("Prediction, score and label must be three different columns.")
    if said.score and not said.prediction:
        raise InvalidInput("Name the column of the prediction too: a score alone says no class.")
    for what, name in _named(said):
        if said.kinds.get(name) == IGNORE:
            raise InvalidInput(f"Column '{name}' is named as {what}, so it cannot be ignored.")
