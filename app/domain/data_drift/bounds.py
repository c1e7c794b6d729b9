"""Bounds that both a worker, which has no numpy, and the processes that count and judge need."""

FEWEST_ROWS = 30
"""With fewer rows nothing can be said about a change."""

FEWEST_REFERENCE_ROWS = 20
"""With fewer rows a reference would tell of single rows."""

FEWEST_FIRST_ROWS = 1000
"""With fewer rows a first batch does not set the bins."""
