"""The history of the registrations, as a client of any worker sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.monitoring.monitor_runs import Verdict
from app.domain.registry.models import Registration
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

HISTORY = "/monitoring/history"


def told(service: Service, path: str = HISTORY) -> list[tuple[str, str, str, str | None]]:
    return [(e["event"], e["name"], e["version"], e["verdict"]) for e in service.json(path)]


def register_elsewhere(gateway: MemoryGateway, name: str, version: int = 1) -> str:
    """Another tower's registration."""
    created = gateway.world.versions[name, version].created
    wanted = Registration(name, version, "classifier", "eve", gateway.world.tick(), "", created)
    return gateway.open_monitor_run(wanted).monitor_run_id


@pytest.fixture
def worker(service: Service, world: MemoryWorld) -> Service:
    """A worker that has answered already."""
    world.add_version("m", {"accuracy": 0.99})
    service.register("m", settings={"limits": {"accuracy": {"max": 0.5}}})
    assert told(service) == [("registered", "m", "1", None)]
    return service


def test_every_worker_shows_at_once_what_any_of_them_did(
    worker: Service, start: Callable[..., Service], world: MemoryWorld
) -> None:
    other = start()
    assert told(other) == told(worker)
    world.add_version("n")
    other.register("n")
    assert told(worker)[0] == told(other)[0] == ("registered", "n", "1", None)
    worker.check()
    assert ("verdict", "m", "1", "degraded") in told(other)
    worker.remove("n")
    assert told(other)[0] == told(worker)[0] == ("removed", "n", "1", None)
    assert worker.json(HISTORY) == other.json(HISTORY)


def test_a_page_asks_mlflow_for_nothing_and_is_not_sent_again(worker: Service, gateway: MemoryGateway) -> None:
    for _ in range(3):
        worker.remove("m")
        worker.register("m")
    asked = len(gateway.calls)
    first = worker.get(f"{HISTORY}?page_size=3")
    second = worker.get(f"{HISTORY}?page_size=3&page=2")
    assert worker.get(f"{HISTORY}?page_size=1001").status_code == 400
    assert len(first.json) == len(second.json) == 3
    assert '"total":7,"total_pages":3' in first.headers["X-Pagination"]
    assert first.json + second.json == worker.json(HISTORY)[:6]
    assert worker.get(f"{HISTORY}?page_size=3", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    worker.remove("m")
    assert worker.get(f"{HISTORY}?page_size=3", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    assert len([call for call in gateway.calls[asked:] if call in ("monitor_runs", "monitor_history")]) == 0


def test_what_another_tower_did_is_shown_with_the_next_round_of_checks(
    worker: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    world.add_version("n")
    run_id = register_elsewhere(gateway, "n")
    gateway.write_verdict(run_id, [Verdict(world.tick(), "drifting", ("bad",))], {})
    worker.check()
    assert ("verdict", "n", "1", "drifting") in told(worker)
    gateway.end_monitor_run(run_id, "eve", "enough")
    worker.check()
    (event,) = [e for e in worker.json(f"{HISTORY}?name=n") if e["event"] == "removed"]
    assert (event["by"], event["reasons"]) == ("eve", ["enough"])


def test_a_registration_that_came_and_went_between_two_rounds_is_shown_after_the_next_sweep(
    worker: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    worker.agent.historian.tick()
    world.add_version("n")
    gateway.end_monitor_run(register_elsewhere(gateway, "n"), "eve", "")
    worker.agent.historian.tick()
    assert told(worker, f"{HISTORY}?name=n") == []
    worker.refresh()
    worker.agent.historian.tick()
    assert [event for event, *_ in told(worker, f"{HISTORY}?name=n")] == ["removed", "registered"]


def test_after_the_loss_of_the_cache_the_history_is_the_same(
    worker: Service, start: Callable[..., Service], gateway: MemoryGateway
) -> None:
    verdicts: list[Verdict] = []
    run_id = worker.verdict("m")["monitor_run_id"]
    for number in range(60):
        verdicts = [*verdicts, Verdict(gateway.world.tick(), ("healthy", "drifting")[number % 2], (f"why {number}",))]
        worker.agent.gateway.write_verdict(run_id, verdicts, {})
    worker.remove("m")
    worker.register("m")
    before = worker.json(HISTORY)
    assert len(before) == 63
    assert sum(bool(event["reasons"]) for event in before if event["event"] == "verdict") == 50
    worker.agent.world.cache.delete("history")
    assert start().json(HISTORY) == before


def test_while_mlflow_is_down_the_known_history_is_served_and_in_time_marked_stale(
    worker: Service, start: Callable[..., Service], gateway: MemoryGateway
) -> None:
    gateway.failure = MlflowUnavailable("down")
    other = start()
    assert told(other) == [("registered", "m", "1", None)]
    assert "X-Data-Stale" not in other.get(HISTORY).headers
    worker.clock.forward(25 * 3600)
    assert other.get(HISTORY).headers["X-Data-Stale"] == "true"
    worker.agent.world.cache.delete("history")
    assert start().get(HISTORY).status_code == 500
    gateway.failure = None
    assert told(start()) == [("registered", "m", "1", None)]


def test_verdicts_that_could_not_be_read_are_read_later_and_until_then_the_history_is_stale(
    worker: Service, start: Callable[..., Service], gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> Any:
        raise MlflowUnavailable("too much")

    worker.check()
    worker.agent.world.cache.delete("history")
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "verdict_changes", fails)
        found = start()
        assert ("verdict", "m", "1", "degraded") in told(found)
        assert found.get(HISTORY).headers["X-Data-Stale"] == "true"
    found.check()
    assert "X-Data-Stale" not in found.get(HISTORY).headers


def test_a_reading_that_began_before_a_removal_does_not_undo_it(
    worker: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = gateway.monitor_runs

    def slow(run_ids: Any) -> Any:
        found = read(run_ids)
        worker.remove("m")
        return found

    monkeypatch.setattr(gateway, "monitor_runs", slow)
    worker.agent.historian.read()
    assert told(worker)[0] == ("removed", "m", "1", None)


def test_what_mlflow_has_no_more_is_gone_and_a_deleted_experiment_takes_nothing(
    worker: Service, world: MemoryWorld
) -> None:
    before = told(worker)
    experiment = world.experiments.pop("control-tower")
    worker.refresh()
    worker.agent.historian.read()
    assert told(worker) == before
    world.experiments["control-tower"] = experiment
    world.registrations.clear()
    worker.check()
    assert told(worker) == []


def test_without_a_cache_the_history_is_what_mlflow_says_now(
    start: Callable[..., Service], gateway: MemoryGateway, world: MemoryWorld
) -> None:
    direct = start(enable_cache=False)
    assert told(direct) == []
    world.add_version("m")
    run_id = register_elsewhere(gateway, "m")
    assert told(direct) == [("registered", "m", "1", None)]
    gateway.end_monitor_run(run_id, "eve", "")
    assert told(direct, f"{HISTORY}?name=m&version=1&page_size=1") == [("removed", "m", "1", None)]
    assert told(direct, f"{HISTORY}?version=2") == []


def test_nothing_happened_to_the_sample_fleet(start: Callable[..., Service], gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("down")
    response = start(enable_mock_data=True).get(HISTORY)
    assert (response.json, response.headers["X-Data-Source"]) == ([], "mock")
