"""The properties of the history and of promotions also hold on a real MLflow in SQLite."""

from pathlib import Path

from tests.contract.sqlite_gateway import Stores
from tests.unit.promotion_storms import try_storms
from tests.unit.registry_moves import try_moves


def test_the_record_of_random_moves_is_right_for_every_moment_outside_its_intervals(tmp_path: Path) -> None:
    try_moves(tmp_path, 3, Stores(tmp_path).gateway, steps=20)


def test_storms_of_promotions_leave_nothing_half_done(tmp_path: Path) -> None:
    try_storms(tmp_path, 2, Stores(tmp_path).gateway)
