"""The keeper: one worker keeps the agent, and replaces one that died or is stuck."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import TowerError
from app.services.agent import AgentLink, Keeper, keeper, remote
from app.services.agent.server import Alive
from app.services.host.file_locks import FileLocks
from tests.servers import HANGS_AFTER_SECONDS, until

# An agent that reads what is handed over, answers signs of life until its input ends, and nothing else.
AGENT = """
import os, sys, threading
from contextlib import nullcontext
import msgspec
from app.services.agent import AgentServer, Handover
address = msgspec.json.decode(sys.stdin.buffer.readline(), type=Handover).address
server = AgentServer(address, lambda seconds: nullcontext(), {})
threading.Thread(target=server.serve, daemon=True).start()
sys.stdin.buffer.read()
server.wait_for_the_last(0)
os._exit(0)
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The agents that were started; each only gives signs of life."""
    made: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(_: list[str], **more: Any) -> subprocess.Popen[bytes]:
        made.append(real([sys.executable, "-c", AGENT], **more))
        return made[-1]

    monkeypatch.setattr(keeper.subprocess, "Popen", start)
    monkeypatch.setattr(keeper, "_BETWEEN_STARTS_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "_SIGN_SECONDS", 0.5)
    return made


@pytest.fixture
def pair(
    tmp_path_factory: pytest.TempPathFactory, started: list[subprocess.Popen[bytes]]
) -> Iterator[tuple[Keeper, Keeper]]:
    """The keepers of two workers of one gunicorn."""
    directory: Path = tmp_path_factory.mktemp("k")
    one, two = (Keeper(directory, FileLocks(directory, ""), "settings") for _ in range(2))
    yield one, two
    one.stop()
    two.stop()
    for agent in started:
        agent.wait(HANGS_AFTER_SECONDS)


def test_of_two_workers_one_keeps_the_agent_and_the_other_when_that_one_is_gone(
    pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]]
) -> None:
    one, two = pair
    for _ in range(3):
        one.tick()
        two.tick()
    assert len(started) == 1
    one.stop()
    assert started[0].wait(HANGS_AFTER_SECONDS) == 0
    one.tick()
    two.tick()
    assert len(started) == 2


def test_a_worker_that_is_about_to_end_starts_no_agent_and_keeps_the_one_it_has(
    pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]]
) -> None:
    one, two = pair
    one.retire()
    one.tick()
    assert started == []
    two.tick()
    two.retire()
    two.tick()
    assert len(started) == 1
    assert started[0].poll() is None
    two.stop()
    started[0].wait(HANGS_AFTER_SECONDS)
    one.tick()
    assert len(started) == 1


def test_an_agent_that_died_is_replaced(pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]]) -> None:
    pair[0].tick()
    started[0].kill()
    started[0].wait(HANGS_AFTER_SECONDS)
    pair[0].tick()
    assert len(started) == 2


def answers(keeper: Keeper) -> bool:
    link = AgentLink(HANGS_AFTER_SECONDS)
    link.use(keeper.address())
    try:
        with link.within(HANGS_AFTER_SECONDS):
            return remote(Alive, link).is_alive()
    except TowerError:
        return False


def test_an_agent_that_is_stuck_is_killed_and_replaced(
    pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair[0].tick()
    until(lambda: answers(pair[0]), "the agent")
    pair[0].tick()
    assert started[0].poll() is None
    started[0].send_signal(signal.SIGSTOP)
    monkeypatch.setattr(keeper, "_SILENCE_SECONDS", 0.0)
    pair[0].tick()
    assert started[0].wait(HANGS_AFTER_SECONDS) == -signal.SIGKILL
    monkeypatch.setattr(keeper, "_SILENCE_SECONDS", 30.0)
    pair[0].tick()
    assert len(started) == 2


@pytest.mark.parametrize("removed", ["the directory", "the lock", "the socket"])
def test_after_the_lock_or_the_socket_was_removed_there_is_one_agent_that_answers(
    pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]], removed: str
) -> None:
    agent = AgentLink(0.5)
    agent.use(pair[0].address())
    pair[0].tick()
    until(lambda: alive(agent), "the agent")
    pair[0].tick()
    directory = Path(pair[0].address()).parent
    if removed == "the directory":
        shutil.rmtree(directory)
    for file in directory.glob("*.lock" if removed == "the lock" else "*.sock"):
        file.unlink()

    def is_mended() -> bool:
        # The other worker may find the lock free before the first one finds it gone.
        pair[1].tick()
        pair[0].tick()
        return started[0].poll() is not None and alive(agent)

    until(is_mended, "another agent")
    for _ in range(3):
        pair[0].tick()
        pair[1].tick()
    assert [one.poll() is None for one in started] == [False, True]


def alive(agent: AgentLink) -> bool:
    try:
        with agent.within(0.5):
            return remote(Alive, agent).is_alive()
    except TowerError:
        return False


def test_a_socket_in_a_directory_of_another_user_is_not_believed(
    pair: tuple[Keeper, Keeper], started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = AgentLink(0.5)
    agent.use(pair[0].address())
    pair[0].tick()
    until(lambda: alive(agent), "the agent")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not alive(agent)
