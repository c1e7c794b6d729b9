"""MLflow's webhooks as MLflow sends them, and where they fail."""

from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from mlflow import MlflowClient

from app.domain.errors import MlflowRefused, MlflowUnavailable, Unauthorized
from app.domain.registry.webhook import Deliveries, Delivery, delivered
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.mlflow_gateway.store import ensure_store
from app.services.mlflow_gateway.webhooks import Webhooks
from app.wiring.world import now_ms
from tests.servers import HOST, free_port, mlflow_server, start_serving, until

SECRET = "the secret of the first day"


def gateway(uri: str) -> MlflowGateway:
    return MlflowGateway.connect(uri, monitoring_experiment="control-tower", clock=now_ms, retries=0)


class Receiver:
    """Takes deliveries and answers with the statuses it is given, then with 200."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send_error(404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{HOST}:{self.server.server_address[1]}/webhooks/mlflow"
        start_serving(self.server)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def read(self, count: int) -> list[Delivery]:
        """The next deliveries, each shown to be MLflow's."""
        until(lambda: len(self.taken) >= count, what=f"{count} deliveries")
        taken, self.taken = self.taken, []
        return [delivered(SECRET, headers, body, now_ms()) for headers, body in taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as made:
        yield made


def test_each_change_of_the_registry_is_delivered_signed_and_again_under_the_same_id(
    delivering_url: str, receiver: Receiver
) -> None:
    asked, client = gateway(delivering_url), MlflowClient(delivering_url, delivering_url)
    made = asked.register_webhook(receiver.url, SECRET)

    # Before any event: MLflow reads its subscribers at the first, and again after a minute.
    assert asked.test_webhook(made.id) == (True, "HTTP 200")
    assert [one.name for one in receiver.read(1)] == ["example_model"]
    receiver.statuses = [401]
    assert asked.test_webhook(made.id) == (False, "HTTP 401")
    headers, body = receiver.taken.pop()
    with pytest.raises(Unauthorized):
        delivered("another secret than that", headers, body, now_ms())

    receiver.statuses = [500]
    client.create_registered_model("Größe 🧬")
    first, again = receiver.read(2)
    assert first == again
    assert first.name == "Größe 🧬"
    assert abs(first.sent_at - now_ms()) < 60_000
    known = Deliveries()
    assert [known.is_new(one.delivery_id, one.sent_at, now_ms()) for one in (first, again)] == [True, False]

    client.create_model_version("Größe 🧬", "mem:/model")
    client.set_registered_model_alias("Größe 🧬", "champion", "1")
    client.delete_registered_model_alias("Größe 🧬", "champion")
    client.set_model_version_tag("Größe 🧬", "1", "a", "b")
    client.delete_model_version_tag("Größe 🧬", "1", "a")
    told = receiver.read(5)
    assert {one.name for one in told} == {"Größe 🧬"}
    assert len({one.delivery_id for one in told}) == 5
    asked.remove_webhook(made.id)


def test_with_the_secret_registered_again_it_is_that_which_signs(delivering_url: str, receiver: Receiver) -> None:
    asked = gateway(delivering_url)
    asked.register_webhook(receiver.url, "the secret of the day before")
    made = asked.register_webhook(receiver.url, SECRET)
    assert asked.test_webhook(made.id) == (True, "HTTP 200")
    assert len(receiver.read(1)) == 1
    asked.remove_webhook(made.id)


def test_a_delivery_that_reaches_nobody_is_told_without_the_password(delivering_url: str) -> None:
    asked = gateway(delivering_url)
    made = asked.register_webhook(f"http://ada:s3cr3t@{HOST}:{free_port()}/webhooks/mlflow", SECRET)
    # MLflow tries again and again, for longer than it is given here.
    with pytest.raises(MlflowUnavailable) as caught:
        MlflowGateway.connect(
            delivering_url, monitoring_experiment="control-tower", clock=now_ms, timeout=1, retries=0
        ).test_webhook(made.id)
    assert "s3cr3t" not in caught.value.detail
    asked.remove_webhook(made.id)


def test_an_mlflow_that_has_lost_its_key_is_told_apart_from_one_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow").mkdir()
    store = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    ensure_store(store)
    with pytest.raises(MlflowRefused, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"):
        gateway(store).register_webhook("https://127.0.0.1:1/webhooks/mlflow", SECRET)
    assert list(gateway(store).list_webhooks()) == []
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    gateway(store).register_webhook("https://127.0.0.1:1/webhooks/mlflow", SECRET)
    with mlflow_server(tmp_path / "mlflow") as url, pytest.raises(MlflowUnavailable, match="fails on its webhooks"):
        gateway(url).list_webhooks()
    with pytest.raises(MlflowUnavailable, match="Check that it runs"):
        gateway(url).list_webhooks()


def test_an_mlflow_without_webhooks_is_told_as_such(
    mlflow_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.store.model_registry.rest_store.RestStore._get_webhook_endpoint_from_method", _unknown)
    with pytest.raises(MlflowRefused, match="has no webhooks"):
        gateway(mlflow_url).list_webhooks()
    receiver.statuses = [404]
    with pytest.raises(MlflowUnavailable, match="There is no MLflow"):
        gateway(receiver.url).list_webhooks()


def _unknown(*_: Any) -> tuple[str, str]:
    return "/api/2.0/mlflow/no-such-thing", "GET"


def test_a_store_without_webhooks_is_told_as_such() -> None:
    def fail(**_: Any) -> None:
        raise NotImplementedError("FileStore does not support list_webhooks")

    connection: Any = SimpleNamespace(is_http=True, client=lambda: SimpleNamespace(list_webhooks=fail))
    with pytest.raises(MlflowRefused, match="has no webhooks"):
        Webhooks(connection, Calls(5)).list()
