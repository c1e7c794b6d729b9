"""What only the real gateway can show: MLflow refusing, hanging, dripping, failing, lying."""

import time
from collections.abc import Iterator

import pytest

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.services.mlflow_gateway import MlflowGateway
from app.wiring import now_ms
from tests.servers import Proxy, free_port

SECRET = "s3cr3t-pw"


def gateway(url: str, timeout: int = 1, retries: int = 1) -> MlflowGateway:
    return MlflowGateway.connect(
        url, monitoring_experiment="control-tower", clock=now_ms, timeout=timeout, retries=retries
    )


@pytest.fixture
def faulty(mlflow_url: str) -> Iterator[Proxy]:
    made = Proxy(mlflow_url)
    yield made
    made.close()


@pytest.mark.parametrize("mode", ["hang", "drip", "refuse"])
def test_a_call_ends_within_its_time_whatever_mlflow_does(faulty: Proxy, mode: str) -> None:
    reader = gateway(faulty.url)
    faulty.mode = mode
    began = time.monotonic()
    with pytest.raises(MlflowUnavailable):
        reader.read_inventory()
    assert time.monotonic() - began < reader.patience + 1
    faulty.mode = "up"
    assert reader.read_inventory().experiments


def test_calls_bounded_together_end_together(faulty: Proxy) -> None:
    reader = gateway(faulty.url, timeout=10)
    faulty.mode = "hang"
    began = time.monotonic()
    with pytest.raises(MlflowTooSlow), reader.within(0.5):
        reader.ping()
    assert time.monotonic() - began < 2


def test_a_refused_connection_is_told_at_once_and_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    reader = gateway(f"http://user:{SECRET}@127.0.0.1:{free_port()}")
    with pytest.raises(MlflowUnavailable) as caught:
        reader.ping()
    assert "MLFLOW_TRACKING_URI" in caught.value.detail
    assert SECRET not in caught.value.detail
    assert SECRET not in caplog.text


def test_a_user_name_and_password_in_the_address_are_sent_to_mlflow(faulty: Proxy) -> None:
    seen: list[str | None] = []
    forward = faulty.forward

    def spy(request: object, body: bytes) -> None:
        seen.append(request.headers.get("Authorization"))  # type: ignore[attr-defined]
        forward(request, body)  # type: ignore[arg-type]

    faulty.forward = spy  # type: ignore[method-assign,assignment]
    gateway(faulty.url.replace("http://", f"http://ada:{SECRET}@")).ping()
    assert seen
    assert all(header and header.startswith("Basic ") for header in seen)


def test_a_slow_server_is_asked_for_smaller_pages(faulty: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = gateway(faulty.url, retries=0)
    answer = faulty.forward
    refused: list[str] = []

    def only_small_pages(request: object, body: bytes) -> None:
        if "model-versions/search" in request.path and "max_results=10000" in request.path:  # type: ignore[attr-defined]
            refused.append(request.path)  # type: ignore[attr-defined]
            faulty.closing.wait(3)
            return
        answer(request, body)  # type: ignore[arg-type]

    monkeypatch.setattr(faulty, "forward", only_small_pages)
    assert reader.read_inventory().experiments
    assert len(refused) == 1


def test_after_stop_every_caller_is_let_go(faulty: Proxy) -> None:
    reader = gateway(faulty.url)
    reader.stop()
    with pytest.raises(MlflowTooSlow):
        reader.ping()
