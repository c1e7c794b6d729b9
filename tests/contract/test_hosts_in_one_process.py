"""Two hosts that share a real Redis, with their agents in this process and an MLflow in memory."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from app.domain.registry.fleet import Edition
from app.services.data_drift.judge_job import judged
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome
from app.services.host.file_cache import FileCache
from app.services.host.marks import Marks
from app.wiring.world import Host
from tests.api.data import NAME, PATH, rows
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_world import memory_world
from tests.servers import HANGS_AFTER_SECONDS, Redis, until

Judges = Callable[[list[JudgeOrder]], list[JudgeOutcome]]


def service_of(
    directory: Path,
    gateway: MemoryGateway,
    redis: Redis,
    port: int,
    judge: Judges | None = None,
    *,
    starts: bool = True,
) -> Service:
    descriptor = os.memfd_create("marks")
    os.pwrite(descriptor, bytes(8192), 0)
    marks, cache = Marks(descriptor), directory / "cache"
    world = replace(
        memory_world(directory, gateway),
        cache=FileCache(cache, marks),
        host=Host(directory / "locks", directory / "sockets", cache, marks),
        monotonic=time.monotonic,
        **({"judge": judge} if judge else {}),
    )
    made = Service(directory, gateway, world, redis_url=redis.url, redis_prefix=directory.parent.name, api_port=port)
    if starts:
        made.agent.hosts.start()
        made.agent.detector.start()
        made.agent.checker.start()
    return made


@pytest.fixture
def both(tmp_path: Path, redis: Redis) -> Iterator[list[Service]]:
    with hosts_of(tmp_path, redis) as made:
        yield made


@contextmanager
def hosts_of(tmp_path: Path, redis: Redis, judge_of_first: Judges | None = None) -> Iterator[list[Service]]:
    gateway = MemoryGateway()
    gateway.world.add_version("m", {"accuracy": 0.5})
    of_each = (("a", 8001, judge_of_first), ("b", 8002, None))
    made = [service_of(tmp_path / name, gateway, redis, port, judge) for name, port, judge in of_each]
    until(lambda: all(service.get("/readyz").status_code == 200 for service in made), "both hosts")
    yield made
    for service in made:
        service.agent.hosts.stop()
        service.agent.detector.stop()
        service.agent.checker.stop()


def test_what_one_takes_the_other_shows_and_the_leader_checks(both: list[Service]) -> None:
    one, two = both
    assert one.register("m").status_code == 201
    assert two.is_monitored("m")
    assert two.observe("m", metrics={"accuracy": 0.9}).status_code == 201
    until(lambda: one.verdict("m")["checked_at"] and two.verdict("m")["checked_at"], "a check that both show")
    one.world.add_version("pushed")
    trigger = two.agent.api.refresh_trigger
    assert trigger.pushed("pushed", "delivery 1", one.clock())
    assert not one.agent.api.refresh_trigger.pushed("pushed", "delivery 1", one.clock())
    until(lambda: all(("pushed", "1") in each.keys("/models/all") for each in both), "what was delivered")
    assert trigger.pushed(None, "delivery 2", one.clock())
    two.refresh()
    assert one.json("/health")["cache_status"] == two.json("/health")["cache_status"]
    assert two.remove("m").status_code == 200
    assert not one.is_monitored("m")


def test_hosts_that_watch_the_same_alias_at_once_have_one_watch_and_one_record_wherever_it_moves(
    both: list[Service],
) -> None:
    world, path = both[0].world, "/models/m/aliases/blue/monitor"
    world.add_version("m", {"accuracy": 0.5})
    world.set_alias("m", "blue", 1)
    both[0].refresh()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda host: host.post(path, json={"model_type": "classifier"}).status_code, both * 2))
    assert (sorted(made), len(world.watches)) == ([201, 400, 400, 400], 1)
    assert [host.json(path)["model_version"] for host in both] == ["1", "1"]
    for version in (2, 1):
        world.set_alias("m", "blue", version)
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work) for host in both for work in (host.refresh, host.agent.watcher.tick)]:
                done.result()
        assert [record.version for record in world.registrations.values()] == [version]
        assert [host.json(path)["monitor"]["model_version"] for host in both] == [str(version)] * 2
    assert both[1].patch(path, json={"settings": {"silence_hours": 7}}).status_code == 200
    assert both[0].verdict("m", 1)["settings"] == {"silence_hours": 7}
    assert both[0].delete(path).status_code == 200
    assert [host.get(path).status_code for host in both] == [404, 404]
    assert world.registrations == {}


def test_of_two_hosts_that_judge_data_at_once_neither_shares_a_report_without_what_the_other_counted(
    tmp_path: Path, redis: Redis
) -> None:
    entered, goes_on = threading.Event(), threading.Event()

    def held_up(orders: list[JudgeOrder]) -> list[JudgeOutcome]:
        entered.set()
        goes_on.wait(HANGS_AFTER_SECONDS)
        return [judged(order) for order in orders]

    with ThreadPoolExecutor(2) as pool, hosts_of(tmp_path, redis, judge_of_first=held_up) as (one, two):
        one.world.add_version(NAME)
        one.refresh()
        assert one.register(NAME).status_code == 201
        sent = {"rows": rows(1000, 1), "prediction": "said", "score": "p"}
        assert two.call("PUT", f"{PATH}/reference", json=sent).status_code == 200
        assert two.post(f"{PATH}/batches", json={"rows": rows(400, 2), "batch_id": "1"}).status_code == 201
        slow = pool.submit(one.agent.data.judge.judge_now, NAME, 1)
        assert entered.wait(HANGS_AFTER_SECONDS)
        assert two.post(f"{PATH}/batches", json={"rows": rows(400, 3), "batch_id": "2"}).status_code == 201
        other = pool.submit(two.agent.data.judge.judge_now, NAME, 1)
        # It waits for the first, or it would be done by then.
        wait([other], timeout=2)
        goes_on.set()
        slow.result()
        other.result()
        for host in (one, two):
            until(lambda host=host: host.json(f"{PATH}/data-drift")["judged_batches"] == 2, "both batches")


def test_a_host_that_starts_among_others_logs_no_error_while_it_cannot_reach_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    never_started = Redis(tmp_path / "redis")
    made = service_of(tmp_path / "a", MemoryGateway(), never_started, 8001, starts=False)
    assert made.get("/models").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    for job in made.worker.jobs:
        job()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def look(both: list[Service]) -> None:
    """Have every host look at watches and rules, as its scheduler would, at once."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(host.agent.watcher.tick) for host in both * 2]:
            done.result()


def test_a_rule_that_one_host_takes_every_host_shows_when_it_answers_and_one_of_them_covers(
    both: list[Service],
) -> None:
    one, two = both
    world, path = one.world, "/monitoring/rules/live"
    for model in ("fraud", "churn"):
        world.add_version(model, {"accuracy": 0.5}, stage="Production")
    one.refresh()
    rule = {"name": "live", "match": {"stages": ["Production"]}}
    assert one.post("/monitoring/rules", json=rule).status_code == 201
    assert two.json(path)["match"] == {"stages": ["Production"]}
    look(both)
    until(lambda: all(host.is_monitored(model) for host in both for model in ("fraud", "churn")), "what matches")
    assert sorted(record.name for record in world.registrations.values()) == ["churn", "fraud"]
    narrower = {"match": {**rule["match"], "name": "fraud"}}
    assert two.call("PUT", path, json=narrower).status_code == 200
    assert one.json(path)["match"] == narrower["match"]
    assert two.delete(path).status_code == 200
    assert one.get(path).status_code == 404
    look(both)
    until(lambda: not any(host.is_monitored(model) for host in both for model in ("fraud", "churn")), "nothing matches")


def test_another_leads_where_the_leader_leaves_and_what_redis_lost_is_read_again(
    both: list[Service], redis: Redis
) -> None:
    until(lambda: sum(service.agent.hosts.may_lead() for service in both) == 1, "a leader")
    leader, other = sorted(both, key=lambda service: not service.agent.hosts.may_lead())
    assert leader.register("m").status_code == 201
    leader.agent.hosts.stop()
    until(other.agent.hosts.may_lead, "another leader")
    before = other.agent.publisher.edition() or Edition()
    redis.client().flushall()
    until(lambda: (other.agent.publisher.edition() or before).series != before.series, "a new series")
    until(lambda: other.json("/health")["hosts"]["redis"] == "connected")
    assert other.is_monitored("m")


HOURS = 3600.0


@pytest.fixture
def clocks(tmp_path: Path, redis: Redis) -> Iterator[list[Service]]:
    """Three hosts of one MLflow, each with a clock of its own, the leader first."""
    world = MemoryWorld()
    for _ in range(2):
        world.add_version("m", {"accuracy": 0.5})
    made = [service_of(tmp_path / name, MemoryGateway(world), redis, 8001 + n) for n, name in enumerate("abc")]
    until(lambda: sum(host.get("/readyz").status_code == 200 and leads(host) for host in made) == 1, "a leader")
    yield sorted(made, key=leads, reverse=True)
    for host in made:
        leave(host)


def leads(host: Service) -> bool:
    return host.agent.hosts.may_lead()


def leave(host: Service) -> None:
    host.agent.hosts.stop()
    host.agent.detector.stop()
    host.agent.checker.stop()


def read(host: Service) -> None:
    """Read MLflow; a host that the machine holds up is told to try again."""
    until(lambda: host.post("/cache/refresh").status_code == HTTPStatus.OK, "a refresh")


def record(host: Service) -> None:
    """Record what the leader saw change in the registry, as its scheduler would."""
    with host.agent.hosts.leading():
        host.agent.recorder.tick()


@pytest.mark.parametrize(("turned", "ahead"), [("leader", 26 * HOURS), ("other", -26 * HOURS)])
def test_the_clock_of_one_host_decides_neither_who_leads_nor_what_is_newest_nor_what_came_first(
    clocks: list[Service], turned: str, ahead: float
) -> None:
    leader, other, third = clocks
    world, wrong = leader.world, leader if turned == "leader" else other
    read(leader)
    record(leader)
    wrong.clock.ahead = ahead
    for count, host in enumerate(clocks, 3):
        world.add_version("m", {"accuracy": 0.5})
        read(host)
        assert [len(each.keys("/models/all?name=m")) for each in clocks] == [count] * 3
    assert [leads(host) for host in clocks] == [True, False, False]
    for takes, ends in ((wrong, third), (third, wrong), (third, third)):
        assert takes.register("m").status_code == 201
        assert [host.register("m").status_code for host in clocks] == [400] * 3
        assert ends.remove("m").status_code == 200
        assert [host.is_monitored("m") for host in clocks] == [False] * 3
    for host in clocks:
        events = [event["event"] for event in host.json("/monitoring/history?name=m")]
        assert events == ["removed", "registered"] * 3
    for version in (1, 2, 1):
        world.set_alias("m", "blue", version)
        read(leader)
        record(leader)
    leave(leader)
    until(lambda: leads(other) or leads(third), "another leader")
    successor = other if leads(other) else third
    world.set_alias("m", "blue", 2)

    def moves() -> list[str]:
        """To which versions the alias moved, the first move first."""
        read(successor)
        record(successor)
        return [move["to"] for move in reversed(successor.json("/history?name=m&kind=alias"))]

    until(lambda: len(moves()) == 4, "the move that another leader saw")
    assert moves() == ["1", "2", "1", "2"]
    for host in (other, third):
        assert [held["version"] for held in host.json("/model/m/holders") if held["until"] is None] == ["2"]
