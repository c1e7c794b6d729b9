"""Outcomes: counts of what a classifier said, and of what was true. They add up."""

from dataclasses import dataclass

from app.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Counts of the shape (predicted classes, score bins, true classes); (predicted classes, score bins, 1) unlabelled.

    `classes` has the order of both. Of two classes the second is the positive one, and the score is its probability;
    of more, the score is that of the predicted class. `unknown` are rows whose prediction is none of the classes.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[tuple[int, ...], ...], ...]
    unknown: int = 0

    def __add__(self, other: "Outcomes") -> "Outcomes":
        if self.classes != other.classes:
            raise InvalidInput("The classes of the counts differ.")
        counts = tuple(
            tuple(
                tuple(some + more for some, more in zip(cell, of_other, strict=True))
                for cell, of_other in zip(of_class, other_of_class, strict=True)
            )
            for of_class, other_of_class in zip(self.counts, other.counts, strict=True)
        )
        return Outcomes(self.classes, counts, self.unknown + other.unknown)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.known + self.unknown

    @property
    def known(self) -> int:
        """Rows that have a cell, from which figures are made."""
        return sum(sum(map(sum, of_class)) for of_class in self.counts)
