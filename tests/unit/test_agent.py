"""The agent's socket: calls go over it as if the object were here, and never hold a worker for ever."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidInput, LockTimeout, MlflowTooSlow, MlflowUnavailable, NotFound
from app.domain.monitoring.monitor_runs import MonitorState
from app.domain.ports import Gateway
from app.domain.registry.models import MetricPoint, ModelReading, ModelVersion, Registration, VersionKey
from app.services.agent import AgentLink, AgentServer, client, remote
from app.services.agent.calls import Request, answer, arguments_of, methods_of, read_request
from tests.servers import HANGS_AFTER_SECONDS


class Calls(Protocol):
    """What may be called."""

    def echo(self, row: ModelVersion, places: Mapping[VersionKey, str] = ...) -> ModelVersion: ...

    def fail(self, kind: str) -> None: ...

    def hang(self) -> None: ...

    def lie(self) -> int: ...


class Target:
    """An object in the agent; `secret` is not of the interface."""

    def __init__(self) -> None:
        self.hanging = threading.Event()

    def echo(self, row: ModelVersion, places: Mapping[VersionKey, str]) -> ModelVersion:
        assert all(isinstance(key, tuple) for key in places)
        return row

    def fail(self, kind: str) -> None:
        raise {
            "NotFound": NotFound("gone"),
            "InvalidInput": InvalidInput("bad"),
            "LockTimeout": LockTimeout("taken", 7),
        }.get(kind, ValueError("password"))

    def hang(self) -> None:
        self.hanging.wait(HANGS_AFTER_SECONDS)

    def lie(self) -> Any:
        return "not a number"

    def secret(self) -> str:
        return "not for others"


ROW = ModelVersion("m", 1, "None", 1, 1, metrics={"a": None, "b": 0.5})


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
def link(address: str) -> AgentLink:
    link = AgentLink(10)
    link.use(address)
    return link


def serve(address: str, target: Target) -> None:
    server = AgentServer(address, no_bound, {Calls: target})
    threading.Thread(target=server.serve, daemon=True).start()


@pytest.fixture
def calls(address: str, target: Target, link: AgentLink) -> Calls:
    serve(address, target)
    return remote(Calls, link)


def test_a_value_comes_back_as_it_went(calls: Calls) -> None:
    assert calls.echo(ROW, {("m", 1): "run"}) == ROW
    assert calls.echo(row=ROW, places={}) == ROW


@pytest.mark.parametrize(("kind", "error"), [("NotFound", NotFound), ("InvalidInput", InvalidInput)])
def test_an_error_of_the_domain_comes_back_as_it_is(calls: Calls, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^(gone|bad)$"):
        calls.fail(kind)


def test_when_to_try_again_comes_back_with_the_error(calls: Calls) -> None:
    with pytest.raises(LockTimeout, match="taken") as caught:
        calls.fail("LockTimeout")
    assert caught.value.retry_after == 7


def test_a_crash_comes_back_without_its_text(calls: Calls) -> None:
    with pytest.raises(RuntimeError, match=r"^ValueError$"):
        calls.fail("any")


def test_an_answer_of_another_type_is_refused(calls: Calls) -> None:
    with pytest.raises(MlflowUnavailable, match="another version"):
        calls.lie()


@pytest.mark.parametrize(
    ("interface", "method", "arguments"),
    [
        ("Calls", "secret", ()),
        ("Calls", "__init__", ()),
        ("Elsewhere", "echo", ()),
        ("Calls", "echo", ()),
        ("Calls", "echo", ("text", {})),
        ("Calls", "fail", (1,)),
    ],
)
def test_only_methods_of_the_interface_are_called_with_values_of_their_types(
    calls: Calls, address: str, interface: str, method: str, arguments: tuple[object, ...]
) -> None:
    packed = msgspec.Raw(msgspec.msgpack.encode(arguments))
    for content in (msgspec.msgpack.encode(Request(interface, method, packed)), b"\x80\x04.", b""):
        with Client(address, "AF_UNIX") as connection:
            connection.send_bytes(content)
            assert msgspec.msgpack.decode(connection.recv_bytes())["type"] == "Crash"
    assert calls.echo(ROW, {}) == ROW


def test_a_call_that_hangs_is_given_up_when_its_time_is_over(
    calls: Calls, link: AgentLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_GRACE_SECONDS", 0.0)
    with link.within(HANGS_AFTER_SECONDS), link.within(0.05), pytest.raises(MlflowTooSlow):
        calls.hang()


def test_who_waits_is_let_go_when_the_process_ends(calls: Calls, link: AgentLink) -> None:
    threading.Timer(0.05, link.stop).start()
    with pytest.raises(MlflowTooSlow, match="stopping"):
        calls.hang()


def test_without_an_agent_the_reason_is_said_when_the_time_is_over(
    link: AgentLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with link.within(0.2), pytest.raises(MlflowUnavailable, match="not there yet"):
        remote(Calls, link).echo(ROW, {})
    assert now[0] < 0.3


def test_a_call_made_while_the_agent_starts_is_answered_when_it_is_there(
    address: str, target: Target, link: AgentLink
) -> None:
    timer = threading.Timer(0.2, serve, (address, target))
    timer.start()
    assert remote(Calls, link).echo(ROW, {}) == ROW


def test_an_agent_that_dies_in_mid_call_is_reported(address: str, link: AgentLink) -> None:
    with Listener(address, "AF_UNIX") as listener:
        threading.Thread(target=lambda: listener.accept().close(), daemon=True).start()
        with pytest.raises(MlflowUnavailable, match="has ended"):
            remote(Calls, link).hang()


def test_a_new_agent_takes_the_place_of_one_that_was_killed(address: str, target: Target, link: AgentLink) -> None:
    Path(address).touch()
    serve(address, target)
    assert remote(Calls, link).echo(ROW, {}) == ROW


def test_how_long_calls_may_take_is_this_process_s_affair(link: AgentLink) -> None:
    assert not {"within", "stop", "patience"} & set(methods_of(Gateway))
    assert (remote(Gateway, link).within, remote(Gateway, link).patience) == (link.within, 10)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.integers(-(2**62), 2**62)
VALUE = st.none() | st.floats(allow_nan=False)
VERSIONS = st.builds(
    ModelVersion, TEXT, NUMBER, TEXT, NUMBER, NUMBER, st.none() | TEXT, metrics=st.dictionaries(TEXT, VALUE)
)
POINTS = st.builds(MetricPoint, TEXT, TEXT, NUMBER, VALUE, TEXT, NUMBER)
JSON = st.recursive(st.none() | st.booleans() | NUMBER | TEXT, lambda inner: st.dictionaries(TEXT, inner, max_size=3))
STATES = st.builds(
    MonitorState,
    st.builds(Registration, TEXT, NUMBER, TEXT, TEXT, NUMBER, TEXT, NUMBER, st.dictionaries(TEXT, JSON, max_size=3)),
)


def cross(method: str, args: Sequence[object], value: object) -> tuple[Sequence[object], object]:
    """Arguments and value of a call of the gateway as they arrive."""
    called = methods_of(Gateway)[method]
    arrived = arguments_of(called, read_request(called.request(args, {}, None)))
    return arrived, called.outcome(answer(lambda: value))


@settings(max_examples=50)
@given(
    versions=st.lists(VERSIONS, max_size=3),
    runs=st.dictionaries(st.tuples(TEXT, NUMBER), TEXT, max_size=3),
    evidence=st.dictionaries(st.tuples(TEXT, NUMBER), st.lists(POINTS, max_size=3), max_size=3),
    states=st.none() | st.lists(STATES, max_size=3),
    readings=st.dictionaries(TEXT, st.builds(ModelReading, st.none(), st.none() | st.just(())), max_size=3),
)
def test_whatever_mlflow_holds_crosses_unchanged(
    versions: list[ModelVersion],
    runs: dict[VersionKey, str],
    evidence: dict[VersionKey, list[MetricPoint]],
    states: list[MonitorState] | None,
    readings: dict[str, ModelReading],
) -> None:
    assert cross("evidence", (versions, runs, []), evidence) == ((versions, runs, []), evidence)
    assert cross("monitor_states", (), states) == ((), states)
    assert cross("read_models", (["m"], []), readings) == ((["m"], []), readings)
