"""Sums of floats without rounding: the same numbers give the same sum, whatever their order and their split."""

from collections.abc import Iterable
from itertools import chain
from math import fsum
from operator import neg

Sum = tuple[float, ...]
"""Numbers that add up to the sum exactly: the sum as a float, what that lacks as a float, and so on."""


def exact_sum(numbers: Iterable[float]) -> Sum:
    """The sum of finite numbers, each and all of them together far below the greatest float."""
    summands = list(numbers)
    parts: list[float] = []
    while rest := fsum(chain(summands, map(neg, parts))):
        parts.append(rest)
    return tuple(parts) or (0.0,)
