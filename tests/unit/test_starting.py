"""What is done and said before the service serves, and the command that makes keys."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from app.access import requires
from app.services.host.file_cache import FileCache
from app.services.host.keys import read_keys
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.mlflow_gateway.store import ensure_store
from app.starting import announce, prepare
from app.wiring.world import now_ms, real_world
from tests.api.service import Service, settings_of
from tests.fakes.memory_mlflow import MemoryGateway


@pytest.fixture
def open_service(tmp_path: Path) -> Service:
    return Service(tmp_path, MemoryGateway(), mlflow_tracking_uri="http://mlflow")


@pytest.fixture
def keyed(tmp_path: Path) -> Service:
    return Service(
        tmp_path, MemoryGateway(), mlflow_tracking_uri="http://mlflow", api_tokens_file=tmp_path / "the-keys"
    )


@pytest.mark.parametrize(
    ("addresses", "warned"),
    [
        (["0.0.0.0:8000"], True),
        (["127.0.0.1:8000", "[::]:8000"], True),
        (["127.0.0.1:8000", "localhost:1", "[::1]:8000", "unix:/run/tower.sock"], False),
    ],
)
def test_an_open_service_that_listens_beyond_this_machine_warns(
    open_service: Service, caplog: pytest.LogCaptureFixture, addresses: list[str], warned: bool
) -> None:
    prepare(open_service.app, addresses)
    assert ("API_TOKENS_FILE" in caplog.text) is warned


def test_with_keys_nobody_is_warned(keyed: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "the-keys").write_text("# none yet\n")
    prepare(keyed.app, ["0.0.0.0:8000"])
    assert "API_TOKENS_FILE" not in caplog.text


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_file_of_keys_that_cannot_be_used_stops_the_start_with_one_line(
    keyed: Service, tmp_path: Path, content: str | None
) -> None:
    if content:
        (tmp_path / "the-keys").write_text(content)
    with pytest.raises(SystemExit) as stopped:
        prepare(keyed.app, ["127.0.0.1:8000"])
    assert str(stopped.value.code).startswith("API_TOKENS_FILE: ")
    assert "flask tokens new" in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)


def test_an_embedded_store_that_cannot_be_made_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    service = Service(tmp_path, MemoryGateway(), mlflow_tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(SystemExit) as stopped:
        prepare(service.app, ["127.0.0.1:8000"])
    assert "MLFLOW_TRACKING_URI" in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)


def test_a_store_that_exists_is_left_alone(tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    store.write_bytes(b"whatever is in it")
    ensure_store(f"sqlite:///{store}")
    assert store.read_bytes() == b"whatever is in it"
    assert list(tmp_path.iterdir()) == [store]


def test_the_addresses_that_are_said_can_be_opened(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        announce(["0.0.0.0:8000", "[::]:8001"])
    assert "http://localhost:8000/docs" in caplog.text
    assert "http://localhost:8001/docs" in caplog.text


def test_the_command_makes_a_key_that_opens_the_service_and_shows_it_once(keyed: Service, tmp_path: Path) -> None:
    done = keyed.app.test_cli_runner().invoke(args=["tokens", "new", "ada", "--role", "write"])
    assert done.exit_code == 0
    (token,) = re.findall(r"ct_\S+", done.output)
    assert token not in (tmp_path / "the-keys").read_text()
    keyed.token = token
    assert keyed.get("/models").status_code == 200
    assert [key.role for key in read_keys(tmp_path / "the-keys")] == ["write"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ada"], "named ada already"),
        (["a b"], "1 to 64"),
        (["bob", "--role", "owner"], "'read', 'write', 'approve', 'admin'"),
    ],
)
def test_the_command_says_what_is_wrong(keyed: Service, arguments: list[str], told: str) -> None:
    assert keyed.tower.keys is not None
    keyed.tower.keys.add("ada", "read")
    done = keyed.app.test_cli_runner().invoke(args=["tokens", "new", *arguments])
    assert done.exit_code != 0
    assert told in done.output
    assert "ct_" not in done.output


def test_the_command_needs_a_file_that_can_be_written(open_service: Service, tmp_path: Path) -> None:
    done = open_service.app.test_cli_runner().invoke(args=["tokens", "new", "ada"])
    assert (done.exit_code, "API_TOKENS_FILE" in done.output) == (1, True)
    (tmp_path / "file").write_text("in the way")
    blocked = Service(tmp_path, MemoryGateway(), api_tokens_file=tmp_path / "file" / "keys")
    done = blocked.app.test_cli_runner().invoke(args=["tokens", "new", "ada"])
    assert (done.exit_code, "cannot be written" in done.output) == (1, True)


def test_a_role_that_there_is_not_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="owner"):
        requires("owner")


def test_the_real_world_lies_where_the_settings_say_and_ask_nobody_yet(tmp_path: Path) -> None:
    settings = settings_of(mlflow_tracking_uri="http://ada:pw@127.0.0.1:1", cache_directory=tmp_path / "kept")
    world = real_world(settings, None)
    assert isinstance(world.gateway, MlflowGateway)
    assert isinstance(world.cache, FileCache)
    world.cache.set("key", 1)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert real_world(settings, None).cache.get("key") == 1
    assert world.gateway.patience == 20.5
    assert abs(world.clock() - now_ms()) < 60_000


def test_without_a_place_for_lock_files_the_start_stops_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"control-tower-{os.getuid()}").write_text("in the way")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        real_world(settings_of(mlflow_tracking_uri="http://127.0.0.1:1", cache_directory=tmp_path / "kept"), None)
    assert "TMPDIR" in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)


def test_without_persistence_each_start_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(
        mlflow_tracking_uri="http://127.0.0.1:1", cache_directory=tmp_path / "kept", enable_cache_persistence=False
    )
    # Where the operating system keeps what is temporary.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one, two = real_world(settings, None).cache, real_world(settings, None).cache
    one.set("key", 1)
    assert one.get("key") == 1
    assert two.get("key") is None
    assert not (tmp_path / "kept").exists()
