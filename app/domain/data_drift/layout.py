"""The layout of a reference: which columns are counted, in which bins, and what each of them is.

It is made once from a reference. Every client counts by it, so that counts from anywhere add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.data_drift.bins import CATEGORICAL, NUMERIC, Bins, NumericBins
from app.domain.errors import InvalidInput

INPUT, PREDICTION, SCORE = "input", "prediction", "score"
MOST_COLUMNS = 1000
MOST_CLASSES = 50
MOST_SEGMENT_COLUMNS = 5
MOST_SEGMENT_VALUES = 20
LONGEST_NAME = 250
"""Characters of a column's name."""
NO_ADDRESS = (".", "..")
"""Names that no address can end with: clients take them for a way up."""


def check_name(name: str) -> None:
    """Raise InvalidInput for what cannot be a column's name."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInput(f"The name of a column has 1 to {LONGEST_NAME} characters, not {len(name)}.")
    if name in NO_ADDRESS:
        raise InvalidInput(f"A column cannot be named '{name}', since no address could end with it. Rename it.")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a reference with their bins, in the order of the reference.

    `prediction` and `score` are names of columns; `label` is the name of the column with the true values, which is not
    among the columns. A classifier has `classes`, in the order in which its outcomes are counted: of two classes the
    second is the positive one. `segments` has the values of each column by which rows are judged apart, and
    `other_values` how many more values it has, if it has more. `ignored` says of columns that are not counted why, as
    with identifiers.
    """

    columns: Mapping[str, Bins]
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    classes: tuple[str, ...] = ()
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    other_values: Mapping[str, int] = field(default_factory=dict)

    def role(self, column: str) -> str:
        """What a counted column is: `input`, `prediction` or `score`."""
        if column == self.prediction:
            return PREDICTION
        return SCORE if column == self.score else INPUT

    def kind(self, column: str) -> str:
        """How a counted column is counted: `numeric` or `categorical`."""
        return NUMERIC if isinstance(self.columns[column], NumericBins) else CATEGORICAL

    @property
    def inputs(self) -> int:
        """How many of the counted columns are inputs."""
        return sum(self.role(column) == INPUT for column in self.columns)

    @property
    def counts_outcomes(self) -> bool:
        """Whether rows are counted by predicted class and bin of the score counted."""
        return bool(self.classes and self.prediction and self.score)

    @property
    def score_bins(self) -> int:
        """How many bins the score of outcomes has; 0 if they are not counted."""
        return self.columns[self.score].cells if self.score and self.counts_outcomes else 0
