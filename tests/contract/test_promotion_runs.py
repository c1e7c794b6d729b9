"""What promotions rely on: steps that are added, aliases and stages that move in one request, and clear refusals."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.domain.errors import MlflowMissing, MlflowRefused
from app.domain.promotion.tags import MODEL, PREFIX, model_key, promotions_experiment
from tests.contract.test_gateway_contract import ODD_NAMES, Case, in_memory, real


@pytest.fixture(params=["memory", "sqlite", "http"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return in_memory()
    return real(request.getfixturevalue("sqlite_uri" if request.param == "sqlite" else "mlflow_url"))


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises((MlflowRefused, MlflowMissing)):
        yield


def test_a_promotion_is_an_open_run_that_takes_steps_until_it_is_ended(case: Case) -> None:
    gateway, names = case.gateway, [case.name(odd) for odd in ODD_NAMES[:4]]
    assert list(gateway.promotion_runs(None, True)) == []
    ids = [gateway.open_promotion_run({MODEL: model_key(name), f"{PREFIX}x": "Größe 🧬"}, "promote") for name in names]
    assert {run.run_id for run in gateway.promotion_runs(None, True)} == set(ids)
    (own,) = gateway.promotion_runs(names[0], True)
    assert (own.run_id, own.is_open, own.tags[f"{PREFIX}x"]) == (ids[0], True, "Größe 🧬")
    gateway.write_promotion_tags(ids[0], {f"{PREFIX}step.001": "a"})
    for _ in range(2):
        gateway.end_promotion_run(ids[0])
    gateway.write_promotion_tags(ids[0], {f"{PREFIX}step.002": "b"})
    found = gateway.find_promotion_run(ids[0])
    assert (found.is_open, found.tags[f"{PREFIX}step.001"], found.tags[f"{PREFIX}step.002"]) == (False, "a", "b")
    assert list(gateway.promotion_runs(names[0], True)) == []
    assert [run.run_id for run in gateway.promotion_runs(names[0], False)] == [ids[0]]
    everything = gateway.promotion_runs(None, False)
    newest = everything[0].started
    assert [*gateway.promotion_runs(None, False, newest)] == [run for run in everything if run.started >= newest]
    assert [*gateway.promotion_runs(None, False, newest + 1)] == []
    assert len(gateway.promotion_runs(None, False, 0)) == len(everything)
    for unknown in ("0" * 32, "\0", "é" * 500, "..", "' or '1'='1"):
        assert gateway.find_promotion_run(unknown) is None
    case.world.delete_experiment(promotions_experiment(case.experiment))
    gateway.open_promotion_run({MODEL: model_key(names[0])}, "promote")


def test_an_alias_moves_in_one_request_and_what_mlflow_does_not_take_is_refused(case: Case) -> None:
    gateway, name = case.gateway, case.name("both ' and \"")
    for _ in range(2):
        case.world.add_version(name)
    for version in (1, 2, 2):
        gateway.set_alias(name, "champion", version)
    assert gateway.read_models([name], [])[name].model.aliases == {"champion": 2}
    for alias in ("latest", "v1", "a b", "", "x" * 256):
        with refused():
            gateway.set_alias(name, alias, 1)
    with refused():
        gateway.set_alias(name, "champion", 9)
    with refused():
        gateway.set_alias(case.name("other"), "champion", 1)
    assert gateway.read_models([name], [])[name].model.aliases == {"champion": 2}


def test_a_move_to_a_stage_archives_who_was_there(case: Case) -> None:
    gateway, name = case.gateway, case.name("Größe 🧬")
    for _ in range(3):
        case.world.add_version(name)
    gateway.move_to_stage(name, 1, "Production")
    for _ in range(2):
        gateway.move_to_stage(name, 2, "Production")
    gateway.move_to_stage(name, 3, "Staging")
    rows = gateway.read_models([name], [])[name].versions
    assert {row.version: row.stage for row in rows} == {1: "Archived", 2: "Production", 3: "Staging"}
    for version, stage in ((9, "Production"), (1, "Nonsense")):
        with refused():
            gateway.move_to_stage(name, version, stage)
