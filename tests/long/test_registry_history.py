"""The history of the registry over many random moves, looks and failures."""

from pathlib import Path

from tests.unit.registry_moves import try_moves


def test_the_record_is_right_for_every_moment_outside_its_intervals(tmp_path: Path) -> None:
    try_moves(tmp_path, 600)
