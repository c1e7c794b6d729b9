"""What the history of the registry relies on: tags that are written all or none, and read back, also after a delete."""

import pytest

from app.domain.errors import MlflowRefused
from app.domain.registry_history.tags import PREFIX, history_experiment
from tests.contract.test_gateway_contract import Case, in_memory, real


@pytest.fixture(params=["memory", "sqlite", "http"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return in_memory()
    return real(request.getfixturevalue("sqlite_uri" if request.param == "sqlite" else "mlflow_url"))


def test_tags_of_the_history_are_read_back_as_written_newest_run_first(case: Case) -> None:
    assert list(case.gateway.registry_runs(None)) == []
    older, newer = case.gateway.open_registry_run(), case.gateway.open_registry_run()
    long = {f"{PREFIX}change.{number}": f'["{number}", "Größe 🧬\\n"]' * 200 for number in range(100)}
    case.gateway.write_registry_tags(older, long)
    case.gateway.write_registry_tags(older, {f"{PREFIX}change.0": "again"})
    runs = case.gateway.registry_runs(None)
    assert {run.run_id for run in runs} == {older, newer}
    assert [run.started for run in runs] == sorted((run.started for run in runs), reverse=True)
    (read,) = (run for run in runs if run.run_id == older)
    assert read.tags == {**long, f"{PREFIX}change.0": "again"}
    assert not read.is_deleted
    assert len(case.gateway.registry_runs(1)) == 1


def test_a_history_that_somebody_deleted_is_still_read_and_goes_on_in_a_new_run(case: Case) -> None:
    run_id = case.gateway.open_registry_run()
    case.gateway.write_registry_tags(run_id, {f"{PREFIX}begun": "1"})
    case.world.delete_experiment(history_experiment(case.experiment))
    (run,) = case.gateway.registry_runs(None)
    assert (run.is_deleted, run.tags) == (True, {f"{PREFIX}begun": "1"})
    with pytest.raises(MlflowRefused):
        case.gateway.write_registry_tags(run_id, {f"{PREFIX}looked": "[1,1]"})
    case.gateway.write_registry_tags(case.gateway.open_registry_run(), {f"{PREFIX}looked": "[1,1]"})
    assert len(case.gateway.registry_runs(None)) == 2
