"""Three hosts that are one tower through Redis: real gunicorns with separate caches and temporary directories."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient

from app.domain.registry.webhook import signature
from app.domain.times import DAY_MS
from app.wiring.world import now_ms
from tests.integration.several_hosts import SECRET, Host, hosts_of, observations, tags, well
from tests.servers import Proxy, Redis, Tower, until

EXPERIMENT = "hosts"


@pytest.fixture(scope="module")
def trio(between: Proxy, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    settings = {"MONITORING_EXPERIMENT": EXPERIMENT, "REDIS_PREFIX": "trio"}
    with hosts_of(between.url, redis, tmp_path_factory.mktemp("trio"), **settings) as made:
        yield made


@pytest.fixture
def hosts(trio: list[Host], between: Proxy, redis: Redis) -> Iterator[list[Host]]:
    """The three of them, well; a leader first."""
    yield well(trio)
    between.gate.set()
    if not redis.answers():
        redis.start()


def at_once(hosts: list[Host], count: int, ask: Callable[[Host, int], int]) -> Counter[int]:
    with ThreadPoolExecutor(40) as pool:
        return Counter(pool.map(lambda number: ask(hosts[number % len(hosts)], number), range(count)))


def test_what_any_host_takes_every_host_has_when_it_answers(hosts: list[Host]) -> None:
    for turn in range(9):
        taker, path = hosts[turn % 3].tower, "/models/seed-00001/1/monitor"
        assert taker.register("seed-00001").status_code == 201
        assert [host.is_monitored("seed-00001") for host in hosts * 4] == [True] * 12
        settings = {"settings": {"silence_hours": 7 + turn}}
        assert taker.patch(path, json=settings).status_code == 200
        shown = [host.tower.get(path).json()["settings"]["silence_hours"] for host in hosts * 4]
        assert shown == [7 + turn] * 12
        assert hosts[(turn + 1) % 3].tower.delete(path).status_code == 200
        assert [host.is_monitored("seed-00001") for host in hosts * 4] == [False] * 12


def test_of_200_registrations_of_one_version_over_three_hosts_one_is_taken_and_40_different_ones_all_are(
    hosts: list[Host],
) -> None:
    same = at_once(hosts, 200, lambda host, _: host.tower.register("seed-00090").status_code)
    # Of those who wait for the lock on the version, a busy machine may let some wait too long.
    assert (same[201], set(same) <= {201, 400, 503}) == (1, True), same
    different = at_once(hosts, 40, lambda host, n: host.tower.register(f"seed-{10 + n:05d}").status_code)
    assert different == {201: 40}
    listed = [sorted(row["name"] for row in host.tower.get("/models/monitored").json()) for host in hosts]
    assert listed[0] == listed[1] == listed[2]
    assert len(listed[0]) >= 41
    until(lambda: tags(hosts[0]) == tags(hosts[1]) == tags(hosts[2]), "the same ETags on every host")


def test_observations_that_reach_several_hosts_with_one_id_count_once(hosts: list[Host], seeded_url: str) -> None:
    path = "/models/seed-00092/1"
    assert hosts[0].tower.register("seed-00092").status_code == 201
    # Without a time of its own a value gets that of its arrival, so each arrival would be another point.
    sent = {"id": "batch 1", "metrics": {"accuracy": 0.94}}

    def send(host: Host, _: int) -> int:
        return host.tower.post(f"{path}/observations", json=sent).status_code

    answers = at_once(hosts, 30, send)
    assert (answers[201] > 0, set(answers) <= {201, 503}) == (True, True), answers
    for host in hosts:
        until(lambda host=host: send(host, 0) == 201, "a host that takes it")
    run_id = hosts[1].tower.get(f"{path}/monitor").json()["monitor_run_id"]
    points = MlflowClient(seeded_url, seeded_url).get_metric_history(run_id, "accuracy")
    assert [point.value for point in points] == [0.94]


def test_a_verdict_and_a_delivery_show_on_every_host_whichever_took_them(hosts: list[Host], seeded_url: str) -> None:
    name, start = "seed-00091", now_ms() - 60 * DAY_MS
    path = f"/models/{name}/1"
    assert hosts[1].tower.register(name).status_code == 201
    rng = random.Random(5)
    steady = [rng.gauss(0.94, 0.01) for _ in range(25)]
    assert hosts[2].tower.post(f"{path}/observations", json=observations(steady, start)).status_code == 201
    until(lambda: {host.tower.get(f"{path}/monitor").json()["verdict"] for host in hosts} == {"healthy"})
    assert (
        hosts[1].tower.post(f"{path}/observations", json=observations([0.5] * 5, start + 30 * DAY_MS)).status_code
        == 201
    )
    until(lambda: {host.tower.get(f"{path}/monitor").json()["verdict"] for host in hosts} == {"drifting"})
    MlflowClient(seeded_url, seeded_url).set_registered_model_alias(name, "winner", 2)
    taken = [deliver(hosts[number % 3].tower, name) for number in range(6)]
    assert taken == [(202, "Delivery accepted"), *[(202, "Delivery accepted before")] * 5]
    until(lambda: all(aliases(host, name) == {"champion", "winner"} for host in hosts), "the alias on every host")
    until(lambda: tags(hosts[0]) == tags(hosts[1]) == tags(hosts[2]), "the same ETags on every host")


def deliver(running: Tower, name: str) -> tuple[int, str]:
    message = {"entity": "model_version_alias", "action": "created", "timestamp": "", "data": {"name": name}}
    body, seconds = json.dumps(message).encode(), str(now_ms() // 1000)
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": "delivery-1",
        "X-MLflow-Timestamp": seconds,
        "X-MLflow-Signature": signature(SECRET, "delivery-1", seconds, body),
    }
    answer = running.post("/webhooks/mlflow", data=body, headers=headers)
    return answer.status_code, answer.json()["message"]


def aliases(host: Host, name: str) -> set[str]:
    rows = host.tower.get(f"/models/all?name={name}").json()
    return {alias for row in rows for alias in row["aliases"]}


@pytest.mark.parametrize("fault", ["killed", "stopped in the middle of a sweep"])
def test_where_the_leader_fails_another_leads_and_nothing_older_shows(
    hosts: list[Host], between: Proxy, fault: str
) -> None:
    leader, *others = hosts
    pid = leader.agent()
    if fault == "killed":
        os.kill(pid, signal.SIGKILL)
    else:
        # Its sweep waits for MLflow, and everything that it reads is old when it goes on.
        between.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            refreshed = pool.submit(leader.tower.post, "/cache/refresh")
            until(lambda: between.held > 0, "a sweep that waits")
            os.kill(pid, signal.SIGSTOP)
            until(lambda: any(host.leads() for host in others), "another leader")
            between.gate.set()
            assert others[0].tower.register("seed-00093").status_code == 201
            assert others[1].tower.post("/cache/refresh").status_code == 200
            newer = others[0].tower.get("/health").json()["cache_status"]["last_refresh"]
            os.kill(pid, signal.SIGCONT)
            assert refreshed.result().status_code in (200, 500, 503)
        assert others[0].tower.get("/health").json()["cache_status"]["last_refresh"] >= newer
        assert [host.is_monitored("seed-00093") for host in hosts] == [True] * 3
    well(hosts)
    until(lambda: tags(hosts[0]) == tags(hosts[1]) == tags(hosts[2]), "the same ETags on every host")


FAULTS = ("gone", "hanging", "full", "read-only")


def break_redis(redis: Redis, fault: str) -> str:
    """Break it; what `/health` says of it."""
    assert redis.process is not None
    if fault == "gone":
        redis.stop()
        return "cannot be reached"
    if fault == "hanging":
        os.kill(redis.process.pid, signal.SIGSTOP)
        return "does not answer in time"
    if fault == "full":
        redis.client().config_set("maxmemory", "1")
        return "is full. Raise its maxmemory"
    redis.client().replicaof(*("127.0.0.1", "1"))
    return "is read-only. Check that REDIS_URL names the primary"


def mend_redis(redis: Redis, fault: str) -> None:
    assert redis.process is not None
    if fault == "gone":
        redis.start()
    elif fault == "hanging":
        os.kill(redis.process.pid, signal.SIGCONT)
    elif fault == "full":
        redis.client().config_set("maxmemory", "0")
    else:
        redis.client().replicaof("NO", "ONE")


@pytest.mark.parametrize("fault", FAULTS)
def test_while_redis_fails_lists_go_on_and_what_is_not_safe_is_refused_and_it_heals(
    hosts: list[Host], redis: Redis, fault: str
) -> None:
    name = f"seed-0005{FAULTS.index(fault)}"
    one = hosts[0].tower
    assert one.register(name).status_code == 201
    before = [host.tower.get("/models/all").json() for host in hosts]
    says = break_redis(redis, fault)
    try:
        until(lambda: all(host.health()["hosts"]["redis"] == says for host in hosts), f"{says!r} in /health")
        assert {host.health()["status"] for host in hosts} == {"degraded"}
        assert [host.tower.get("/models/all").json() for host in hosts] == before
        for host in hosts:
            refused = host.tower.register("seed-00094")
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True), refused.text
            assert "secret" not in refused.text
            assert host.tower.post("/cache/refresh").status_code == 503
        point = observations([0.94], now_ms() - DAY_MS)
        assert {host.tower.post(f"/models/{name}/1/observations", json=point).status_code for host in hosts} == {201}
        metrics = hosts[1].tower.get("/metrics").text
        assert "control_tower_redis_up 0.0" in metrics
    finally:
        mend_redis(redis, fault)
    well(hosts)
    assert [host.is_monitored(name) for host in hosts] == [True] * 3
    assert hosts[2].tower.register(f"seed-0006{FAULTS.index(fault)}").status_code == 201
    until(lambda: tags(hosts[0]) == tags(hosts[1]) == tags(hosts[2]), "the same ETags on every host")


def test_what_redis_has_lost_the_hosts_share_again(hosts: list[Host], redis: Redis) -> None:
    assert hosts[1].tower.register("seed-00095").status_code == 201
    redis.client().flushall()
    well(hosts)
    assert [host.is_monitored("seed-00095") for host in hosts * 3] == [True] * 9
    assert hosts[2].tower.delete("/models/seed-00095/1/monitor").status_code == 200
    assert [host.is_monitored("seed-00095") for host in hosts * 3] == [False] * 9
    until(lambda: tags(hosts[0]) == tags(hosts[1]) == tags(hosts[2]), "the same ETags on every host")


def test_health_asks_mlflow_once_for_all_hosts(hosts: list[Host], between: Proxy) -> None:
    began = time.monotonic()
    # A worker asks MLflow itself in its first half minute: an agent may not run yet.
    until(lambda: all(host.health()["status"] == "healthy" for host in hosts) and time.monotonic() - began > 30)
    began, before = time.monotonic(), len(between.paths)
    for host in hosts * 20:
        assert host.health()["status"] == "healthy"
    assert len(between.paths) - before <= 2 + (time.monotonic() - began) / 5
