"""References and batches that come at the same moment: each batch counts once, and no older answer replaces a newer."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.domain.data_drift.series import Series, series_from
from app.domain.errors import LockTimeout
from app.domain.messages import REPLACED
from app.domain.ports import HeldLock, Locks
from app.services.data_drift.judge_job import judged
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome
from app.services.host.file_cache import FileCache
from tests.api.data import NAME, PATH, day, judge, send
from tests.api.service import Row, Service
from tests.fakes.memory_mlflow import MemoryGateway
from tests.fakes.memory_world import memory_world
from tests.servers import HANGS_AFTER_SECONDS, until

BATCHES, SENDERS, REFERENCES = 12, 4, 8


class NoticedLocks:
    """Locks that note whether somebody waited for that of a version, or for that of judging."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self.is_waited_for = threading.Event()
        self.judging_is_waited_for = threading.Event()
        # Called, once, in the place of waiting for the lock of judging, which then is not to be had.
        self.instead: Callable[[], object] | None = None

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[HeldLock]:
        if name.startswith("judge-") and self.instead is not None:
            instead, self.instead = self.instead, None
            instead()
            raise LockTimeout("Others judge.")
        with ExitStack() as stack:
            try:
                held = stack.enter_context(self._locks.hold(name, 0))
            except LockTimeout:
                if name.startswith("version-"):
                    self.is_waited_for.set()
                elif name.startswith("judge-"):
                    self.judging_is_waited_for.set()
                held = stack.enter_context(self._locks.hold(name, timeout))
            yield held


class InterruptedCache(FileCache):
    """A cache that calls `before`, once, before what is known of a version's data is stored."""

    before: Callable[[], None] | None = None

    def store(self, key: str, body: bytes) -> bool:
        before = self.before
        if before is not None and key.startswith("data-drift-"):
            self.before = None
            before()
        return super().store(key, body)


class Judging:
    """Judges; calls `meanwhile`, once, after the counts were read and before the outcome is known."""

    meanwhile: Callable[[], None] | None = None

    def __call__(self, orders: list[JudgeOrder]) -> list[JudgeOutcome]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return [judged(order) for order in orders]


class Host(Service):
    """A service of which a test decides what happens at the same moment."""

    def __init__(self, directory: Path, gateway: MemoryGateway) -> None:
        world = memory_world(directory, gateway)
        self.cache = InterruptedCache(directory / "cache")
        self.locks = NoticedLocks(world.monitoring_locks)
        self.judging = Judging()
        world = replace(world, cache=self.cache, monitoring_locks=self.locks, judge=self.judging)
        super().__init__(directory, gateway, world)

    def ask(self, method: str, path: str, body: Row) -> TestResponse:
        """As `call`, from a thread of its own."""
        return self.app.test_client().open(f"{PATH}/{path}", method=method, json=body, buffered=True)


@pytest.fixture
def host(tmp_path: Path, gateway: MemoryGateway) -> Host:
    host = Host(tmp_path, gateway)
    host.world.add_version(NAME)
    assert host.register(NAME).status_code == 201
    return host


def reference(edge: float) -> Row:
    """A reference of counts, whose bins have one edge."""
    layout = {"columns": {"age": {"kind": "numeric", "edges": [edge]}}}
    return {"layout": layout, "counts": {"rows": 1000, "columns": {"age": {"cells": [500, 500]}}}}


def refer(host: Host, edge: float) -> str:
    answer = until(lambda: taken(host.ask("PUT", "reference", reference(edge)), 200), "the reference to be taken")
    made: str = answer.json["id"]
    return made


def taken(response: TestResponse, status: int) -> TestResponse | None:
    """The response; None where others are at it, so that it is sent again."""
    assert response.status_code in (status, 503), response.json
    return response if response.status_code == status else None


def batch(count: int, seed: int) -> Row:
    rng = random.Random(seed)
    return {"rows": [{"age": rng.gauss(40, 10)} for _ in range(count)], "batch_id": f"batch {seed}", **day(seed % 3)}


def series_of(host: Service) -> dict[str, Series]:
    """What MLflow holds, by the id of the reference."""
    return {run_id: found for run_id, run in host.world.data_runs.items() if (found := series_from(run))}


def test_a_reference_that_comes_while_batches_are_judged_is_what_is_answered_from_then_on(host: Host) -> None:
    first = refer(host, 40.0)
    send(host, batch(50, 1))
    newer: list[str] = []
    host.judging.meanwhile = lambda: newer.append(refer(host, 45.0))
    host.agent.data.judge.judge_now(NAME, 1)
    assert host.json(f"{PATH}/reference")["id"] == newer[0] != first
    assert judge(host)["reference"]["id"] == newer[0]
    assert host.json(f"{PATH}/data-drift?reference={first}")["windows"][0]["rows"] == 50


def test_an_earlier_reference_is_answered_with_its_own_windows_also_where_it_was_replaced_meanwhile(host: Host) -> None:
    first = refer(host, 40.0)
    send(host, batch(50, 1))
    host.judging.meanwhile = lambda: refer(host, 45.0) and None
    known = host.agent.data.judge.judge_now(NAME, 1, first)
    assert known is not None
    assert (known["reference"]["id"], known["report"]["windows"][0]["rows"]) == (first, 50)


def test_a_batch_that_comes_while_others_are_judged_is_among_the_batches_and_is_judged_next(host: Host) -> None:
    refer(host, 40.0)
    send(host, batch(50, 1))
    host.judging.meanwhile = lambda: send(host, batch(30, 4)) and None
    host.agent.data.judge.judge_now(NAME, 1)
    found = host.json(f"{PATH}/data-drift")
    assert (found["batches"], found["judged_batches"], found["windows"][0]["rows"]) == (2, 1, 50)
    found = judge(host)
    assert (found["batches"], found["judged_batches"], found["windows"][0]["rows"]) == (2, 2, 80)


@pytest.mark.parametrize("path", ["batches", "reference"])
def test_of_two_that_come_at_the_same_moment_the_later_reference_is_what_is_answered(host: Host, path: str) -> None:
    refer(host, 40.0)
    answered: list[str] = []

    def put_another() -> None:
        putting = threading.Thread(target=lambda: answered.append(refer(host, 45.0)))
        threads.append(putting)
        putting.start()
        until(lambda: answered or host.locks.is_waited_for.is_set(), "the reference to be taken, or to wait")

    threads: list[threading.Thread] = []
    host.cache.before = put_another
    sent = host.ask("POST", path, batch(50, 1)) if path == "batches" else host.ask("PUT", path, reference(50.0))
    assert sent.status_code in (200, 201), sent.json
    threads[0].join(HANGS_AFTER_SECONDS)
    assert host.json(f"{PATH}/reference")["id"] == answered[0]


def test_every_batch_that_is_sent_while_references_change_counts_in_exactly_one_of_them(host: Host) -> None:
    refer(host, 30.0)
    answers: dict[str, Row] = {}
    refusals: set[tuple[int, str]] = set()

    def send_all(sender: int) -> None:
        for number in range(BATCHES):
            body = batch(20 + number, sender * BATCHES + number)
            until(lambda body=body: is_taken(body), "a batch to be taken")

    def is_taken(body: dict[str, Any]) -> bool:
        sent = host.ask("POST", "batches", body)
        if sent.status_code == 201:
            answers[body["batch_id"]] = sent.json
            return True
        refusals.add((sent.status_code, sent.json["detail"]))
        return False

    with ThreadPoolExecutor(SENDERS) as pool:
        sending = [pool.submit(send_all, sender) for sender in range(SENDERS)]
        for number in range(REFERENCES):
            target = len(answers) + SENDERS
            newest = refer(host, 31.0 + number)
            assert host.json(f"{PATH}/reference")["id"] == newest
            host.agent.data.judge.judge_now(NAME, 1)
            assert host.json(f"{PATH}/reference")["id"] == newest
            until(lambda target=target: len(answers) >= target or all(one.done() for one in sending), "some batches")
        for one in sending:
            one.result()
    known = series_of(host)
    assert len(known) == 1 + REFERENCES
    assert len(answers) == SENDERS * BATCHES
    for batch_id, answer in answers.items():
        holding = [run_id for run_id, series in known.items() if batch_id in series.batches]
        assert holding == [answer["reference"]], batch_id
        assert known[holding[0]].batches[batch_id].rows == answer["rows"]
    assert sum(len(series.batches) for series in known.values()) == len(answers)
    assert {status for status, _ in refusals} <= {409, 503}
    assert {detail for status, detail in refusals if status == 409} <= {REPLACED}
    judge(host)
    for run_id, series in known.items():
        windows = host.json(f"{PATH}/data-drift?reference={run_id}")["windows"]
        assert sum(window["rows"] for window in windows) == sum(one.rows for one in series.batches.values())


def test_counts_by_a_reference_that_was_replaced_are_refused_as_such_although_they_do_not_fit_the_bins_of_now(
    host: Host,
) -> None:
    first = refer(host, 40.0)
    layout = {"columns": {"age": {"kind": "numeric", "edges": [20.0, 30.0]}}}
    of_other_bins = {"rows": 90, "columns": {"age": {"cells": [30, 30, 30]}}}
    host.ask("PUT", "reference", {"layout": layout, "counts": of_other_bins})
    counts = {"counts": {"rows": 50, "columns": {"age": {"cells": [20, 30]}}}, **day(1)}
    refused = send(host, counts | {"reference": first})
    assert (refused.status_code, refused.json["detail"]) == (409, REPLACED)
    refused = host.post(f"{PATH}/batches?reference={first}", json=counts)
    assert (refused.status_code, refused.json["detail"]) == (409, REPLACED)


def test_a_series_that_a_host_left_open_when_it_died_does_not_count_again(host: Host) -> None:
    first, newer = refer(host, 40.0), refer(host, 45.0)
    judge(host)
    host.world.data_runs[first] = replace(host.world.data_runs[first], is_open=True)
    host.agent.data.judge.tick()
    assert host.json(f"{PATH}/reference")["id"] == newer


@pytest.fixture
def hosts(tmp_path: Path, gateway: MemoryGateway) -> tuple[Host, Host]:
    """Two towers that share an MLflow and nothing else. Both know the version's first reference."""
    made = (Host(tmp_path / "a", gateway), Host(tmp_path / "b", MemoryGateway(gateway.world)))
    gateway.world.add_version(NAME)
    assert made[0].register(NAME).status_code == 201
    assert made[1].is_monitored(NAME)
    refer(made[0], 40.0)
    assert made[1].json(f"{PATH}/reference")["id"] == made[0].json(f"{PATH}/reference")["id"]
    return made


@pytest.mark.parametrize("body", [batch(50, 1), {"counts": {"rows": 5, "columns": {"age": {"cells": [2, 3]}}}}])
def test_a_host_that_refuses_what_was_counted_by_a_replaced_reference_knows_the_one_that_counts(
    hosts: tuple[Host, Host], body: Row
) -> None:
    one, two = hosts
    by = {"reference": one.json(f"{PATH}/reference")["id"]} if "counts" in body else {}
    newer = refer(one, 45.0)
    refused = send(two, body | by)
    assert (refused.status_code, refused.json["detail"]) == (409, REPLACED)
    assert two.json(f"{PATH}/reference")["id"] == newer
    assert send(two, body | ({"reference": newer} if by else {})).json["reference"] == newer


def test_a_host_learns_of_a_reference_from_counts_that_were_made_by_it(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    counts = {"counts": {"rows": 5, "columns": {"age": {"cells": [2, 3]}}}, "reference": refer(one, 45.0)}
    assert send(two, counts).status_code == 409
    assert send(two, counts).json["reference"] == counts["reference"]


def test_a_later_reference_counts_although_the_clock_of_an_earlier_one_was_ahead(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    one.clock.ahead = 3600
    refer(one, 45.0)
    later = refer(two, 50.0)
    assert send(two, batch(50, 1)).json["reference"] == later
    assert judge(one)["reference"]["id"] == later


def test_of_two_who_ask_a_host_that_knows_nothing_yet_one_has_it_read_and_both_get_that(
    hosts: tuple[Host, Host], tmp_path: Path, gateway: MemoryGateway
) -> None:
    fresh = Host(tmp_path / "c", MemoryGateway(gateway.world))
    assert fresh.is_monitored(NAME)
    with ThreadPoolExecutor(2) as pool:

        def ask() -> Any:
            return pool.submit(lambda: fresh.app.test_client().get(f"{PATH}/reference").json["id"])

        answers = []

        def meanwhile() -> None:
            answers.append(ask())
            assert fresh.locks.judging_is_waited_for.wait(HANGS_AFTER_SECONDS)

        fresh.judging.meanwhile = meanwhile
        answers.append(ask())
        until(lambda: len(answers) == 2, "the second question")
        ids = [answer.result(HANGS_AFTER_SECONDS) for answer in answers]
    assert ids == [hosts[0].json(f"{PATH}/reference")["id"]] * 2
    assert fresh.gateway.calls.count("data_series") == 1


def test_who_waits_too_long_on_a_host_that_knew_nothing_gets_what_was_judged_meanwhile(
    hosts: tuple[Host, Host], tmp_path: Path, gateway: MemoryGateway
) -> None:
    fresh = Host(tmp_path / "c", MemoryGateway(gateway.world))
    assert fresh.is_monitored(NAME)
    fresh.locks.instead = lambda: None
    assert fresh.get(f"{PATH}/reference").status_code == 503
    fresh.locks.instead = lambda: fresh.agent.data.judge.judge_now(NAME, 1)
    assert fresh.json(f"{PATH}/reference")["id"] == hosts[0].json(f"{PATH}/reference")["id"]
