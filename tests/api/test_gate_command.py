"""`flask gate`, as a CI job runs it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from werkzeug.serving import make_server

from app.domain.errors import MlflowUnavailable
from tests.api.champions import STABLE, evaluate, two_versions
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.servers import HANGS_AFTER_SECONDS, HOST, free_port, start_serving

Run = Callable[..., Result]
NAMED = ("--baseline", "champion", "--candidate", "challenger")


@pytest.fixture
def run(service: Service) -> Run:
    """Types the command in a process of its own, where nothing has been read from MLflow yet."""
    return lambda *words: service.app.test_cli_runner().invoke(args=["gate", *words])


def test_a_candidate_that_is_not_worse_passes(run: Run, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.93, 0.92))
    result = run("m", *NAMED, "--margin", "0.01")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "m: version 2 (challenger) against version 1 (champion), margin 0.01",
        "",
        "metric    population  method       n  baseline  candidate  difference  non_inferior",
        "accuracy  training    last values  1  0.93      0.92       -0.01       yes",
        "",
        "accuracy: 0.92 against 0.93 in training, last values of 1 and 1 points, too few for an interval: -0.01; "
        "within the margin of 0.01.",
        "pass",
    ]


def test_a_candidate_that_is_worse_fails(run: Run, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.93, 0.92), rmse=(2.0, 1.0))
    result = run("m", *NAMED)
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines()[-1] == "fail"
    assert "beyond the margin of 0." in result.stdout
    assert run("m", *NAMED, "--metric", "rmse").exit_code == 0
    assert run("m", *NAMED, "--metric", "rmse", "--metric", "accuracy").exit_code == 1


def test_margins_and_limits_are_given_metric_by_metric(run: Run, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.93, 0.92), rmse=(1.0, 2.0))
    assert run("m", *NAMED, "--margin", "0.01").exit_code == 1
    passing = ("--margin", "accuracy=0.01", "--margin", "rmse=2", "--min", "accuracy=0.9", "--max", "rmse=2.5")
    assert run("m", *NAMED, *passing).exit_code == 0
    result = run("m", *NAMED, *passing, "--min", "f1=0.8")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "fail")
    assert (
        "f1: Not comparable: neither version has a point of this metric; required is at least 0.8: there is no value"
        in (result.stdout)
    )
    assert "required is at most 2.5: 2 is within the limit." in result.stdout


def test_a_candidate_that_is_perhaps_worse_fails(run: Run, world: MemoryWorld) -> None:
    two_versions(world)
    evaluate(world, "m", 1, "accuracy", STABLE)
    evaluate(world, "m", 2, "accuracy", [0.99, 0.80, 0.99, 0.85, 0.97, 0.92, 0.99])
    result = run("m", *NAMED)
    assert result.exit_code == 1
    assert "paired days" in result.stdout
    assert "with 95 % confidence at least -" in result.stdout
    assert run("m", *NAMED, "--margin", "0.2").exit_code == 0


@pytest.mark.parametrize("words", [(), ("--metric", "acuracy")])
def test_where_nothing_can_be_compared_it_fails(run: Run, world: MemoryWorld, words: tuple[str, ...]) -> None:
    two_versions(world)
    result = run("m", *NAMED, *words)
    assert result.exit_code == 1
    assert "No answer" in result.stdout
    assert result.stdout.splitlines()[-1] == "fail"


@pytest.mark.parametrize("pair", [("champion", "champion"), ("champion", "1"), ("1", "1")])
def test_a_version_does_not_pass_against_itself(run: Run, world: MemoryWorld, pair: tuple[str, str]) -> None:
    two_versions(world, accuracy=(0.9, 0.9))
    result = run("m", "--baseline", pair[0], "--candidate", pair[1])
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "both version 1" in line


def test_it_reads_mlflow_as_it_is_now_and_writes_nothing(run: Run, world: MemoryWorld, gateway: MemoryGateway) -> None:
    two_versions(world, accuracy=(0.9, 0.8))
    assert run("m", *NAMED).exit_code == 1
    world.add_version("m", {"accuracy": 0.95})
    world.set_alias("m", "challenger", 3)
    assert run("m", *NAMED).exit_code == 0
    assert set(gateway.calls) == {"read_models", "open_registrations", "evidence"}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("m",),
        ("m", "--baseline", "1"),
        ("m", "--candidate", "1"),
        *(("m", *NAMED, "--margin", margin) for margin in ("-1", "x", "nan", "inf", "2e9", "")),
        ("m", *NAMED, "--metric", ""),
        ("m", *NAMED, "--metric", "\x1b[2J"),
        ("m\udcff", *NAMED),
        ("m", "--baseline", "\udcff", "--candidate", "1"),
        ("m", *NAMED, "--nothing"),
        ("m", *NAMED, "--margin", "accuracy=x"),
        ("m", *NAMED, "--margin", "0.1", "--margin", "0.2"),
        ("m", *NAMED, "--min", "0.9"),
        ("m", *NAMED, "--max", "\x1b[2J=1"),
    ],
)
def test_what_cannot_be_used_exits_2_before_mlflow_is_asked(
    run: Run, gateway: MemoryGateway, words: tuple[str, ...]
) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert "\x1b" not in result.output
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", *NAMED), "'nobody'"),
        (("m", "--baseline", "9", "--candidate", "challenger"), "version 9"),
        (("m", "--baseline", "champion", "--candidate", "next"), "'next'"),
        (("\x1b[2J", *NAMED), r"\x1b[2J"),
    ],
)
def test_what_mlflow_does_not_know_is_told_in_one_line(
    run: Run, world: MemoryWorld, words: tuple[str, ...], told: str
) -> None:
    two_versions(world, accuracy=(0.9, 0.9))
    result = run(*words)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (1, "")
    assert line.startswith("Error: ")
    assert told in line
    assert "\x1b" not in line


def test_what_mlflow_fails_with_is_told_in_one_line(run: Run, gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("MLflow cannot be reached.")
    result = run("m", *NAMED)
    assert (result.exit_code, result.stderr, result.stdout) == (1, "Error: MLflow cannot be reached.\n", "")
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("name", ['it\'s "x"', "🧬", " ", "\x1b[2J\n", "--help"])
def test_a_model_is_compared_under_any_name(run: Run, world: MemoryWorld, name: str) -> None:
    two_versions(world, name, accuracy=(0.9, 0.9))
    result = run(*NAMED, "--", name)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert len(result.stdout.splitlines()) == 7


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    server = make_server(HOST, 0, service.app, threaded=True)
    start_serving(server)
    yield f"http://{HOST}:{server.server_port}"
    server.shutdown()


@pytest.fixture
def alone(service: Service, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the file that the service serves, with nothing but Python."""
    file = tmp_path / "gate.py"
    file.write_bytes(service.get("/gate.py").data)
    return lambda *words: subprocess.run(
        [sys.executable, "-I", str(file), *words],
        check=False, capture_output=True, text=True, timeout=HANGS_AFTER_SECONDS, cwd=tmp_path,
        env={"TOWER_KEY": "a-secret", "PYTHONUTF8": "1"},
    )  # fmt: skip


def test_the_file_for_ci_says_the_same_as_the_command_and_exits_alike(
    run: Run, alone: Callable[..., "subprocess.CompletedProcess[str]"], address: str, world: MemoryWorld
) -> None:
    two_versions(world, "a b.ü 100%", accuracy=(0.93, 0.92))
    named = ("a b.ü 100%", *NAMED)
    for words in (
        (*named, "--margin", "accuracy=0.01"), named, (*named, "--min", "accuracy=0.99"), (*named, "--margin", "x"),
        (*named, "--metric", "\x1b[2J"), ("nobody", *NAMED), ("a b.ü 100%", "--baseline", "1", "--candidate", "1"),
    ):  # fmt: skip
        command, file = run(*words), alone("--url", f"{address}/", *words)
        assert (file.returncode, file.stdout) == (command.exit_code, command.stdout), file.stderr
        assert file.stderr.splitlines()[-1:] == command.stderr.splitlines()[-1:] or file.returncode == 2
    assert alone("--url", address, "m\udcff", *NAMED).returncode == alone(*named).returncode == 2
    away = alone("--url", f"http://{HOST}:{free_port()}", *named)
    assert (away.returncode, away.stdout) == (1, "")
    assert "cannot be reached" in away.stderr
    assert "a-secret" not in away.stderr
