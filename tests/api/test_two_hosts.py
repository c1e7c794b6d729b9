"""Two towers on one MLflow that share nothing else: what one writes holds for the other."""

from pathlib import Path

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway

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
