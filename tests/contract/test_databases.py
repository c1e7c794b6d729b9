"""The core of the gateway's contract on the databases that teams run, each of which is started once for all of it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from app.services.mlflow_gateway.store import ensure_store
from tests.contract import test_gateway_contract as contract
from tests.contract.test_gateway_contract import Case, real
from tests.kinds.servers import database

CORE: list[Callable[[Case], None]] = [
    contract.test_a_version_comes_with_its_stage_tags_description_and_the_last_metrics_of_its_run,
    contract.test_aliases_come_with_the_registered_model,
    contract.test_versions_without_a_run_or_with_a_deleted_run_are_read_like_the_others,
    contract.test_many_models_are_read_at_once_whatever_their_names_hold,
    contract.test_what_mlflow_does_not_know_is_none,
    contract.test_experiments_are_read_with_the_deleted_ones,
    contract.test_runs_come_newest_first_and_page_by_page,
    contract.test_runs_are_counted_without_the_deleted_ones,
    contract.test_points_come_from_the_logged_model_and_say_who_logged_them,
    contract.test_observations_are_written_to_the_monitor_run_all_or_none,
    contract.test_a_monitor_run_keeps_settings_verdicts_and_who_was_told,
    contract.test_a_monitor_run_keeps_the_ids_that_observations_were_sent_with_page_by_page,
    contract.test_what_mlflow_cannot_keep_is_refused_and_nothing_of_it_written,
    contract.test_an_open_monitor_run_is_a_registration_and_ending_it_removes_it,
    contract.test_registrations_outlive_the_deletion_of_their_experiment,
]


@pytest.mark.parametrize(("kind", "driver"), [("postgresql", "psycopg"), ("mariadb", "pymysql")])
def test_the_core_of_the_contract_holds_on(kind: str, driver: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(driver) is None:
        pytest.skip(f"{driver} is not there. Install requirements-dev.lock, as make test does.")
    with database(kind, tmp_path) as uri:
        ensure_store(uri)
        for holds in CORE:
            holds(real(uri))
        for like in contract.ODD_NAMES[:3]:
            contract.test_open_runs_are_looked_up_by_version_and_by_model_without_restoring_a_deleted_experiment(
                real(uri), like
            )
        if kind == "postgresql":
            # MySQL and MariaDB compare without case, so MLflow takes only one of such models there.
            contract.test_names_that_differ_in_case_are_two_models(real(uri))
