"""Bounds that both a worker, which has no numpy, and the processes that count and judge need."""

FEWEST_ROWS = 30
"""With fewer rows nothing can be said about a change."""

FEWEST_OF_A_CATEGORY = 20
"""A category that a reference has fewer times is not named, and rows with it are not judged apart."""

FEWEST_REFERENCE_ROWS = 20
"""With fewer rows a reference would tell of single rows."""

FEWEST_FIRST_ROWS = 1000
"""With fewer rows a first batch does not set the bins."""
