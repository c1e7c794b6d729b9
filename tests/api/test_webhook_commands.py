"""`flask webhooks register`, `list` and `remove`, as an operator types them."""

from collections.abc import Callable

import pytest
from click.testing import Result

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

SECRET = "the secret of the first day"
URL = "https://tower.example.com/webhooks/mlflow"

Run = Callable[..., Result]


@pytest.fixture
def run(start: Callable[..., Service]) -> Run:
    """Types a command to a service that has the secret."""
    app = start(mlflow_webhook_secret=SECRET).app
    return lambda *words: app.test_cli_runner().invoke(args=["webhooks", *words])


def failed(result: Result) -> str:
    """What is said of a failure: one line, and no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert SECRET not in result.output
    return str(line)


def test_register_tells_mlflow_the_address_and_the_secret(run: Run, world: MemoryWorld) -> None:
    result = run("register", "--url", URL)
    assert result.exit_code == 0
    ((webhook_id, made),) = world.webhooks.items()
    assert (made.name, made.url, world.secrets[webhook_id]) == ("control-tower", URL, SECRET)
    assert result.stdout.splitlines() == [f"{webhook_id}  {URL}", "MLflow begins to deliver within a minute."]
    assert result.stderr == ""


def test_registered_twice_it_is_there_once_with_the_later_secret(
    run: Run, world: MemoryWorld, start: Callable[..., Service]
) -> None:
    run("register", "--url", URL)
    later = start(mlflow_webhook_secret="the secret of the second day").app.test_cli_runner()
    assert later.invoke(args=["webhooks", "register", "--url", "https://tower.example.com"]).exit_code == 0
    assert len(world.webhooks) == 1
    assert list(world.secrets.values()) == ["the secret of the second day"]


def test_an_address_without_a_path_gets_the_services(run: Run, world: MemoryWorld) -> None:
    assert run("register", "--url", "https://tower.example.com/").exit_code == 0
    assert [one.url for one in world.webhooks.values()] == [URL]


def test_an_address_with_another_path_is_taken_with_a_hint(run: Run, world: MemoryWorld) -> None:
    result = run("register", "--url", "https://tower.example.com/hooks")
    assert result.exit_code == 0
    assert "/webhooks/mlflow" in result.stderr
    assert [one.url for one in world.webhooks.values()] == ["https://tower.example.com/hooks"]
    assert run("register", "--url", "https://tower.example.com/prefix/webhooks/mlflow?a=b").stderr == ""


def test_a_password_in_the_address_is_not_shown(run: Run) -> None:
    result = run("register", "--url", URL.replace("tower", "ada:s3cr3t@tower"))
    assert result.exit_code == 0
    assert "s3cr3t" not in result.output + run("list").output


@pytest.mark.parametrize("url", ["", "tower", "ftp://tower/webhooks/mlflow", "https://tower/a b"])
def test_what_is_no_address_is_refused_before_mlflow_is_asked(run: Run, gateway: MemoryGateway, url: str) -> None:
    assert "https://tower.example.com/webhooks/mlflow" in failed(run("register", "--url", url))
    assert gateway.calls == []


def test_without_a_secret_it_is_said_how_to_make_one(service: Service, gateway: MemoryGateway) -> None:
    result = service.app.test_cli_runner().invoke(args=["webhooks", "register", "--url", URL])
    line = failed(result)
    assert "MLFLOW_WEBHOOK_SECRET" in line
    assert "secrets.token_urlsafe" in line
    assert gateway.calls == []


def test_an_address_that_mlflow_refuses_is_told_with_what_allows_it(run: Run) -> None:
    assert "MLFLOW_WEBHOOK_ALLOWED_SCHEMES" in failed(run("register", "--url", "http://127.0.0.1:8000"))


def test_the_test_tells_that_the_delivery_arrived(run: Run, gateway: MemoryGateway) -> None:
    result = run("register", "--url", URL, "--test")
    assert result.exit_code == 0
    assert "arrived: HTTP 200" in result.stdout
    assert gateway.calls == ["register_webhook", "test_webhook"]


def test_the_test_tells_that_it_did_not(run: Run, gateway: MemoryGateway, world: MemoryWorld) -> None:
    gateway.delivers = (False, "HTTP 401")
    line = failed(run("register", "--url", URL, "--test"))
    assert "HTTP 401" in line
    assert "MLFLOW_WEBHOOK_SECRET" in line
    assert len(world.webhooks) == 1


def test_a_test_that_does_not_end_is_told_apart_from_a_registration_that_failed(
    run: Run, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: str) -> tuple[bool, str]:
        raise MlflowTooSlow("MLflow did not answer within 10 s.")

    monkeypatch.setattr(gateway, "test_webhook", hang)
    assert "is registered" in failed(run("register", "--url", URL, "--test"))


def test_list_shows_the_services_and_those_of_others(run: Run, world: MemoryWorld) -> None:
    run("register", "--url", URL)
    foreign = world.add_webhook("somebody-else", "https://else.example.com/")
    (ours,) = set(world.webhooks) - {foreign}
    world.disable_webhook(ours)
    assert run("list").stdout.splitlines() == [
        f"{foreign}  https://else.example.com/  (not this service's: somebody-else)",
        f"{ours}  {URL}  (disabled)",
    ]


def test_with_none_of_the_services_list_says_how_to_make_one(run: Run, world: MemoryWorld) -> None:
    world.add_webhook("somebody-else", "https://else.example.com/")
    assert "flask webhooks register" in run("list").stdout


def test_remove_removes_the_services_alone(run: Run, world: MemoryWorld) -> None:
    run("register", "--url", URL)
    (ours,) = world.webhooks
    foreign = world.add_webhook("somebody-else", URL)
    assert "not the tower's" in failed(run("remove", foreign))
    assert run("remove", ours).exit_code == 0
    assert list(world.webhooks) == [foreign]
    assert "no webhook with this id" in failed(run("remove", ours))


@pytest.mark.parametrize("words", [["register", "--url", URL], ["list"], ["remove", "1"]])
def test_what_mlflow_fails_with_is_one_line(run: Run, gateway: MemoryGateway, words: list[str]) -> None:
    gateway.failure = MlflowUnavailable("MLflow cannot be reached.")
    assert failed(run(*words)) == "Error: MLflow cannot be reached."
