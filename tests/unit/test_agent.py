"""The agent's socket: calls go over it as if the object were here, and never hold a worker for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.errors import InvalidInput, MlflowTooSlow, MlflowUnavailable, NotFound
from app.domain.models import ModelVersion
from app.services.agent import Agent, Elsewhere, Server, client
from tests.servers import HANGS_AFTER_SECONDS


class Target:
    """An object in the agent."""

    def __init__(self) -> None:
        self.hanging = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def fail(self, error: Exception) -> None:
        raise error

    def hang(self) -> None:
        self.hanging.wait(HANGS_AFTER_SECONDS)

    def secret(self) -> str:
        return "not for others"


METHODS = frozenset({"echo", "fail", "hang"})


@contextmanager
def no_bound(_: float) -> Iterator[None]:
    yield


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.hanging.set()


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    # A socket's path has at most 107 bytes.
    return str(tmp_path_factory.mktemp("a") / "agent.sock")


@pytest.fixture
def agent(address: str, target: Target) -> Agent:
    server = Server(address, no_bound)
    threading.Thread(target=server.serve, args=({"target": (target, METHODS)},), daemon=True).start()
    agent = Agent()
    agent.use(address)
    return agent


def test_a_value_comes_back_as_it_went(agent: Agent) -> None:
    row = ModelVersion("m", 1, "None", 1, 1, metrics={"a": None})
    assert agent.ask("target", "echo", row) == row


@pytest.mark.parametrize("error", [NotFound("gone"), InvalidInput("bad"), MlflowUnavailable("down")])
def test_an_error_of_the_domain_comes_back_as_it_is(agent: Agent, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        agent.ask("target", "fail", error)


def test_a_crash_comes_back_without_its_text(agent: Agent) -> None:
    with pytest.raises(RuntimeError, match=r"^ValueError$"):
        agent.ask("target", "fail", ValueError("password"))


def test_only_the_methods_named_are_called(agent: Agent) -> None:
    with pytest.raises(RuntimeError, match=r"^AttributeError$"):
        agent.ask("target", "secret")


def test_a_call_that_hangs_is_given_up_when_its_time_is_over(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_GRACE_SECONDS", 0.0)
    with agent.within(HANGS_AFTER_SECONDS), agent.within(0.05), pytest.raises(MlflowTooSlow):
        agent.ask("target", "hang")


def test_who_waits_is_let_go_when_the_process_ends(agent: Agent) -> None:
    threading.Timer(0.05, agent.stop).start()
    with pytest.raises(MlflowTooSlow, match="stopping"):
        agent.ask("target", "hang")


def test_without_an_agent_the_reason_is_told_in_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    agent = Agent()
    agent.use(address)
    with agent.within(0.2), pytest.raises(MlflowUnavailable, match="not there yet"):
        agent.ask("target", "echo", 1)
    assert now[0] < 0.3


def test_a_call_made_while_the_agent_starts_is_answered_when_it_is_there(address: str, target: Target) -> None:
    agent = Agent()
    agent.use(address)

    def start() -> None:
        Server(address, no_bound).serve({"target": (target, METHODS)})

    timer = threading.Timer(0.2, start)
    timer.daemon = True
    timer.start()
    assert agent.ask("target", "echo", 5) == 5


def test_an_agent_that_dies_in_mid_call_is_told_of(address: str) -> None:
    from multiprocessing.connection import Listener

    with Listener(address, "AF_UNIX") as listener:
        threading.Thread(target=lambda: listener.accept().close(), daemon=True).start()
        agent = Agent()
        agent.use(address)
        with pytest.raises(MlflowUnavailable, match="has ended"):
            agent.ask("target", "hang")


def test_a_new_agent_takes_the_place_of_one_that_was_killed(address: str, target: Target) -> None:
    Path(address).touch()
    server = Server(address, no_bound)
    threading.Thread(target=server.serve, args=({"target": (target, METHODS)},), daemon=True).start()
    agent = Agent()
    agent.use(address)
    assert agent.ask("target", "echo", 5) == 5


def test_an_object_is_here_until_the_agent_is_used(agent: Agent) -> None:
    class Here(Target):
        kept = 5

        def echo(self, value: Any) -> Any:
            return ("here", value)

    unused = Elsewhere(Agent(), "target", Here(), METHODS)
    used = Elsewhere(agent, "target", Here(), METHODS)
    assert (unused.echo(1), used.echo(1)) == (("here", 1), 1)
    assert (used.kept, used.within) == (5, agent.within)
