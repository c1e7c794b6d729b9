"""The history of the registry over many random moves, looks and failures."""

from pathlib import Path

from tests.integration.test_registry_history import compare_with_truth
from tests.unit.registry_moves import try_moves


def test_the_record_is_right_for_every_moment_outside_its_intervals(tmp_path: Path) -> None:
    try_moves(tmp_path, 600)


def test_five_hundred_changes_over_mlflows_own_api_are_what_happened(tmp_path: Path, mlflow_url: str) -> None:
    compare_with_truth(tmp_path, mlflow_url, 42)
