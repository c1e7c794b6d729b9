"""`flask promote`, against a service that listens: what CI reads off its exit code."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr
from werkzeug.serving import make_server

from app.domain.errors import Busy
from app.promote import promote_command
from app.services.promotion.desk import PromotionDesk
from tests.api.service import Service
from tests.api.test_promotions import Team
from tests.servers import start_serving

Run = Callable[..., Result]


@pytest.fixture
def team(start: Callable[..., Service], tmp_path: Path) -> Team:
    return Team(start, tmp_path)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    """Types the command as somebody while the service listens."""
    server = make_server("127.0.0.1", 0, team.service.app, threaded=True)
    start_serving(server)
    url = f"http://127.0.0.1:{server.server_port}"

    def run(*words: str, who: str = "ada", name: str = "m") -> Result:
        command = promote_command(0, SecretStr(team.tokens.get(who, who)), pause=0.05)
        return CliRunner().invoke(command, [name, "--version", "2", "--url", url, *words])

    yield run
    server.shutdown()
    server.server_close()


def waiting(team: Team) -> list[Any]:
    found: list[Any] = team.service.json("/promotions")
    return found


def test_it_waits_for_the_approval_and_says_who_gave_it(run: Run, team: Team) -> None:
    assert run("--alias", "champion").exit_code == 3
    (promotion,) = waiting(team)
    threading.Timer(0.3, lambda: team.approve(promotion)).start()
    again = run("--alias", "champion", "--wait", "30")
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "done: champion is version 2, by bob")
    assert (again.stdout.split(":")[0], team.champion) == (promotion["id"], 2)


def test_a_refusal_is_told_with_its_reason(run: Run, team: Team) -> None:
    assert run("--alias", "champion").exit_code == 3
    path = team.path(waiting(team)[0])
    threading.Timer(0.3, lambda: team.ask("bob", "DELETE", f"{path}?reason=not today")).start()
    refused = run("--alias", "champion", "--wait", "30")
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (1, "refused: not today")
    team.world.add_version("m", {"accuracy": 0.1})
    gate = run("--alias", "champion", "--version", "3")
    assert (gate.exit_code, "gate" in gate.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ([], {}),
        (["--alias", "a", "--stage", "Production"], {}),
        (["--alias", "latest"], {}),
        (["--stage", "None"], {}),
        (["--alias", "a", "--version", "9"], {}),
        (["--alias", "a", "--margin", "much"], {}),
        (["--alias", "a", "--wait", "-1"], {}),
        (["--alias", "a"], {"name": "unknown"}),
        (["--alias", "a"], {"who": "nobody"}),
        (["--alias", "a", "--url", "ftp://x"], {}),
    ],
)
def test_what_is_called_wrongly_exits_2(run: Run, words: list[str], more: dict[str, str]) -> None:
    assert run(*words, **more).exit_code == 2


def test_a_service_that_is_busy_is_asked_again_while_there_is_time(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose = PromotionDesk.propose

    def busy(*_: object) -> None:
        monkeypatch.setattr(PromotionDesk, "propose", propose)
        raise Busy("Not yet.")

    monkeypatch.setattr(PromotionDesk, "propose", busy)
    assert (run("--alias", "champion").exit_code, waiting(team)) == (1, [])
    monkeypatch.setattr(PromotionDesk, "propose", busy)
    assert (run("--alias", "champion", "--wait", "0.5").exit_code, len(waiting(team))) == (3, 1)


def test_a_service_that_does_not_answer_is_a_failure(run: Run) -> None:
    assert run("--alias", "a", "--url", "http://127.0.0.1:9").exit_code == 1
