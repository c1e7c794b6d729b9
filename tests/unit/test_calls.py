"""Calling MLflow without being held by it."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from app.domain.errors import (
    InvalidInput,
    MlflowDenied,
    MlflowMissing,
    MlflowOverloaded,
    MlflowRefused,
    MlflowTooSlow,
    MlflowUnavailable,
    TowerError,
)
from app.services.mlflow_gateway import calls as module
from app.services.mlflow_gateway.calls import SLOTS, Calls, in_our_words
from tests.servers import HANGS_AFTER_SECONDS


class Failure(Exception):
    """As MLflow's exceptions are: a code, and a text that repeats the address."""

    def __init__(self, code: str | None, text: str = "at http://ada:hunter2@mlflow") -> None:
        super().__init__(text)
        self.error_code = code


class Gate:
    """What hanging calls wait for."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.open = threading.Event()

    def wait(self) -> None:
        self.reached.release()
        self.open.wait(HANGS_AFTER_SECONDS)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the end, so that no thread is left."""
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def calls() -> Calls:
    return Calls(5)


def test_a_call_gives_what_the_function_gives(calls: Calls) -> None:
    assert calls.call(lambda a, b: (a, b), 1, b=2) == (1, 2)


def test_a_call_that_hangs_is_let_go_when_its_time_is_over(gate: Gate) -> None:
    with pytest.raises(MlflowTooSlow, match="did not answer within"):
        Calls(0.05).call(gate.wait)


def test_calls_bounded_together_share_their_time_and_are_counted(
    calls: Calls, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with calls.within(4) as operation:
        assert calls.call(int, "1") == 1
        now[0] = 3.95
        with pytest.raises(MlflowTooSlow):
            calls.call(gate.wait)
        now[0] = 4
        with pytest.raises(MlflowTooSlow, match="longer than the time allowed"):
            calls.call(int, "2")
    assert operation.requests == 3
    assert calls.call(int, "3") == 3


def test_an_inner_bound_cannot_outlast_the_outer_one_and_its_calls_count_there_too(calls: Calls, gate: Gate) -> None:
    with calls.within(0.05) as outer, calls.within(60) as inner, pytest.raises(MlflowTooSlow):
        calls.call(gate.wait)
    assert (outer.requests, inner.requests) == (1, 1)


def test_a_bound_holds_for_its_own_thread_only(calls: Calls) -> None:
    found = []
    with calls.within(0):
        thread = threading.Thread(target=lambda: found.append(calls.call(int, "1")))
        thread.start()
        thread.join()
    assert found == [1]


def test_when_too_many_calls_hang_the_next_is_refused_at_once_and_served_again_later(gate: Gate) -> None:
    calls = Calls(HANGS_AFTER_SECONDS)
    refused: list[type] = []

    def hang() -> None:
        try:
            calls.call(gate.wait)
        except TowerError as error:
            refused.append(type(error))

    held = [threading.Thread(target=hang) for _ in range(SLOTS)]
    for thread in held:
        thread.start()
    assert all(gate.reached.acquire(timeout=HANGS_AFTER_SECONDS) for _ in held)
    with pytest.raises(MlflowUnavailable, match="too many requests"):
        calls.call(int, "1")
    gate.open.set()
    for thread in held:
        thread.join()
    assert refused == []
    assert calls.call(int, "1") == 1


def test_stopping_lets_everybody_go_and_nobody_in(gate: Gate) -> None:
    calls = Calls(HANGS_AFTER_SECONDS)
    told: list[str] = []

    def wait() -> None:
        try:
            calls.call(gate.wait)
        except MlflowTooSlow as error:
            told.append(error.detail)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert gate.reached.acquire(timeout=HANGS_AFTER_SECONDS)
    calls.stop()
    waiting.join()
    assert told == ["The service is stopping."]
    with pytest.raises(MlflowTooSlow):
        calls.call(int, "1")


def test_a_thread_that_cannot_be_started_costs_no_place(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(module.threading, "Thread", Refused)
        for _ in range(SLOTS + 1):
            with pytest.raises(RuntimeError):
                calls.call(int, "1")
    assert calls.call(int, "1") == 1


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (Failure("RESOURCE_DOES_NOT_EXIST"), MlflowMissing, "does not know"),
        (Failure("NOT_FOUND"), MlflowMissing, "does not know"),
        (Failure("INVALID_PARAMETER_VALUE"), MlflowRefused, "INVALID_PARAMETER_VALUE"),
        (Failure("RESOURCE_ALREADY_EXISTS"), MlflowRefused, "RESOURCE_ALREADY_EXISTS"),
        (Failure("UNAUTHENTICATED"), MlflowUnavailable, "MLFLOW_TRACKING_PASSWORD"),
        (Failure("PERMISSION_DENIED"), MlflowDenied, "permission"),
        (Failure("ENDPOINT_NOT_FOUND"), MlflowUnavailable, "MLFLOW_TRACKING_URI"),
        (Failure("TEMPORARILY_UNAVAILABLE", "database is locked"), MlflowOverloaded, "too much to do"),
        (Failure("INTERNAL_ERROR", "too many 503 error responses"), MlflowOverloaded, "too much to do"),
        (Failure("INTERNAL_ERROR", "too many 429 error responses"), MlflowOverloaded, "too much to do"),
        (Failure("BAD_REQUEST", "QueuePool limit of size 5 overflow 10 reached"), MlflowOverloaded, "too much to do"),
        (Failure("INTERNAL_ERROR"), MlflowUnavailable, "cannot be reached or failed"),
        (Failure("INTERNAL_ERROR", "Read timed out. (http://ada:hunter2@h)"), MlflowTooSlow, "in time"),
        (Failure(None), MlflowUnavailable, "cannot be reached or failed"),
        (ValueError("http://ada:hunter2@h"), MlflowUnavailable, "cannot be reached or failed"),
        (SystemExit("http://ada:hunter2@h"), MlflowUnavailable, "cannot be reached or failed"),
    ],
)
def test_a_failure_of_mlflows_is_told_in_our_words_and_never_with_a_credential(
    calls: Calls, caplog: pytest.LogCaptureFixture, error: BaseException, kind: type[TowerError], told: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(kind) as caught:
        calls.call(fail)
    assert type(caught.value) is kind
    assert told in caught.value.detail
    assert "hunter2" not in caught.value.detail + caplog.text


def test_our_own_errors_pass_as_they_are() -> None:
    ours = InvalidInput("page_token: not a token.")
    assert in_our_words(ours) is ours
