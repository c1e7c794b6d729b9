"""What only the real gateway can show: MLflow refusing, hanging, dripping, failing, lying."""

from collections.abc import Iterator

import pytest

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.services.mlflow_gateway import MlflowGateway
from app.wiring.world import now_ms
from tests.servers import HANGS_AFTER_SECONDS, Proxy, free_port, until

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
    with pytest.raises(MlflowUnavailable):
        reader.read_inventory()
    # It did not wait until MLflow let it go.
    assert faulty.held or mode == "refuse"
    faulty.mode = "up"
    until(lambda: reads(reader))


def reads(reader: MlflowGateway) -> bool:
    try:
        return bool(reader.read_inventory().experiments)
    except MlflowUnavailable:  # a machine that is busy may need more than this second
        return False


def test_calls_bounded_together_end_together(faulty: Proxy) -> None:
    reader = gateway(faulty.url, timeout=600)
    faulty.mode = "hang"
    with pytest.raises(MlflowTooSlow), reader.within(0.5):
        reader.ping()
    assert faulty.held == 1


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
    gateway(faulty.url.replace("http://", f"http://ada:{SECRET}@"), timeout=60).ping()
    assert seen
    assert all(header and header.startswith("Basic ") for header in seen)


def test_a_slow_server_is_asked_for_smaller_pages(faulty: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = gateway(faulty.url, timeout=5, retries=0)
    answer = faulty.forward
    refused: list[str] = []

    def only_small_pages(request: object, body: bytes) -> None:
        if "model-versions/search" in request.path and "max_results=10000" in request.path:  # type: ignore[attr-defined]
            refused.append(request.path)  # type: ignore[attr-defined]
            faulty.closing.wait(HANGS_AFTER_SECONDS)
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
