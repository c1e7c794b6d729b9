"""The history of the registry over many random moves, looks and failures."""

from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient

from tests.contract.sqlite_gateway import Stores
from tests.integration.test_registry_history import compare_with_truth
from tests.seeding import seed
from tests.servers import QUIET, Proxy, mlflow_server, tower, until
from tests.unit.registry_moves import try_moves

MOVED = 500


def test_the_record_is_right_for_every_moment_outside_its_intervals(tmp_path: Path) -> None:
    try_moves(tmp_path, 600)


def test_it_is_so_on_a_real_mlflow_too(tmp_path: Path) -> None:
    try_moves(tmp_path, 60, Stores(tmp_path).gateway)


def test_five_hundred_changes_over_mlflows_own_api_are_what_happened(tmp_path: Path, mlflow_url: str) -> None:
    print(compare_with_truth(tmp_path, mlflow_url, 42))


def test_five_hundred_aliases_that_a_script_moves_are_written_in_few_requests_and_none_is_missed(
    tmp_path: Path,
) -> None:
    with mlflow_server(tmp_path / "mlflow") as url, closing(Proxy(url)) as between:
        seed(tmp_path / "mlflow" / "mlflow.db", models=MOVED)
        client = MlflowClient(url, url)
        with tower(tmp_path, between.url, workers=1, **QUIET) as running:
            until(lambda: running.get("/history").headers.get("X-Data-As-Of"), "the first look")
            for number in range(MOVED):
                client.set_registered_model_alias(f"seed-{number:05d}", "champion", "1")
            before = between.count("log-batch")
            assert running.post("/cache/refresh").status_code == 200
            rows = until(lambda: len(found := running.get("/history?page_size=1000").json()) == MOVED and found)
            requests = between.count("log-batch") - before
    assert {(row["model_name"], row["from"], row["to"]) for row in rows} == {
        (f"seed-{number:05d}", "3", "1") for number in range(MOVED)
    }
    assert requests <= 8
    print(f"{MOVED} aliases were written in {requests} requests")
