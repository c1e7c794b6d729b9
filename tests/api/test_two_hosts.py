"""Two towers on one MLflow that share nothing else: what one writes holds for the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway
from tests.receivers import HttpReceiver, receiving
from tests.servers import until

ACCURACY = {"metrics": {"accuracy": 0.9}}
PATH = "/models/m/1"


@pytest.fixture
def gateway() -> MemoryGateway:
    gateway = MemoryGateway()
    gateway.world.add_version("m", {"accuracy": 0.5})
    return gateway


@pytest.fixture
def hosts(tmp_path: Path, gateway: MemoryGateway) -> tuple[Service, Service]:
    """Two towers that both have served already."""
    made = (Service(tmp_path / "a", gateway), Service(tmp_path / "b", gateway))
    for host in made:
        assert host.json("/models/monitored") == []
    return made


def test_what_was_removed_on_one_host_can_be_registered_on_the_other(hosts: tuple[Service, Service]) -> None:
    one, two = hosts
    one.register("m")
    assert two.is_monitored("m")
    assert one.remove("m").status_code == 200
    assert two.register("m").status_code == 201
    assert one.register("m").json == {"detail": "Model is already being monitored"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{PATH}/monitor", None),
        ("PATCH", f"{PATH}/monitor", {"settings": {"silence_hours": 1}}),
        ("POST", f"{PATH}/observations", ACCURACY),
        ("DELETE", f"{PATH}/monitor", None),
    ],
)
def test_what_was_registered_on_one_host_is_known_to_the_other(
    hosts: tuple[Service, Service], method: str, path: str, body: object
) -> None:
    one, two = hosts
    one.register("m")
    assert two.call(method, path, **({"json": body} if body else {})).status_code in (200, 201)


@pytest.mark.parametrize("path", [f"{PATH}/series", "/model/m/drift"])
def test_the_other_host_draws_the_observations_too(
    hosts: tuple[Service, Service], gateway: MemoryGateway, path: str
) -> None:
    one, two = hosts
    one.register("m")
    one.post(f"{PATH}/observations", json=ACCURACY)
    assert "0.9" in two.get(path).text


def test_a_version_that_is_not_registered_costs_one_request_and_none_soon_after(
    hosts: tuple[Service, Service], gateway: MemoryGateway
) -> None:
    _, two = hosts
    gateway.calls.clear()
    assert [two.is_monitored("m") for _ in range(5)] == [False] * 5
    assert gateway.calls == ["look_up_registrations"]


def test_while_mlflow_is_down_the_known_answer_is_given(hosts: tuple[Service, Service], gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert not hosts[0].is_monitored("m")


def test_observations_of_a_version_that_the_other_host_removed_are_refused(
    hosts: tuple[Service, Service], gateway: MemoryGateway
) -> None:
    one, two = hosts
    one.register("m")
    assert two.post(f"{PATH}/observations", json=ACCURACY).status_code == 201
    one.remove("m")
    assert two.post(f"{PATH}/observations", json=ACCURACY).status_code == 404
    assert not two.is_monitored("m")


def test_observations_follow_a_version_that_the_other_host_registered_anew(
    hosts: tuple[Service, Service], gateway: MemoryGateway
) -> None:
    one, two = hosts
    one.register("m")
    assert two.is_monitored("m")
    one.remove("m")
    one.register("m")
    assert two.post(f"{PATH}/observations", json=ACCURACY).status_code == 201
    (run,) = gateway.world.registrations
    assert [point.value for point in gateway.world.monitor_points[run]] == [0.9]


def test_a_round_of_checks_brings_the_list_in_line_with_the_other_host(hosts: tuple[Service, Service]) -> None:
    one, two = hosts
    one.register("m")
    two.agent.checker.round()
    assert two.keys("/models/monitored") == [("m", "1")]
    one.remove("m")
    two.agent.checker.round()
    assert two.keys("/models/monitored") == []


def test_what_is_written_here_while_a_round_reads_mlflow_stays(
    hosts: tuple[Service, Service], gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = hosts
    gateway.world.add_version("m")
    one.register("m", 1)
    read = gateway.open_registrations

    def meanwhile() -> object:
        found = read()
        one.register("m", 2)
        one.remove("m", 1)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "open_registrations", meanwhile)
        one.agent.checker.round()
    assert one.keys("/models/monitored") == [("m", "2")]


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def both_found(
    tmp_path: Path, gateway: MemoryGateway, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Service]]:
    """Two towers that found one change of verdict; the first one noted a later time, the second one saw more points."""
    one, two = (Service(tmp_path / name, gateway, alert_webhook_url=receiver.url) for name in "ab")
    one.register("m", settings={"limits": {"accuracy": {"min": 0.8}}})
    write = gateway.write_verdict

    def after_the_other(*written: Any) -> None:
        monkeypatch.setattr(gateway, "write_verdict", write)
        assert two.post(f"{PATH}/observations", json={"metrics": {"accuracy": 0.6}}).status_code == 201
        two.check()
        write(*written)

    monkeypatch.setattr(gateway, "write_verdict", after_the_other)
    one.check()
    yield one, two
    for host in (one, two):
        host.agent.announcer.stop()


def test_a_change_that_both_hosts_announce_has_one_id(
    both_found: tuple[Service, Service], receiver: HttpReceiver
) -> None:
    for number, host in enumerate(both_found, 1):
        host.agent.announcer.start()
        until(lambda number=number: len(receiver.requests) == number)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1


def test_what_the_other_host_has_announced_already_is_not_announced_again(
    both_found: tuple[Service, Service], gateway: MemoryGateway, receiver: HttpReceiver
) -> None:
    one, two = both_found
    two.agent.announcer.start()
    until(lambda: "mark_notified" in gateway.calls)
    gateway.calls.clear()
    one.agent.announcer.start()
    until(lambda: "monitor_runs" in gateway.calls)
    two.agent.announcer.stop()
    for _ in range(5):
        one.clock.forward(60)
        one.observe("m", **ACCURACY)
    one.check()
    until(lambda: len(receiver.requests) == 2)
    assert [message["changes"][0]["verdict"] for message in receiver.messages] == ["degraded", "healthy"]
