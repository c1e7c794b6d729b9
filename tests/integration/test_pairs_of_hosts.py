"""Two hosts that are one tower through Redis: what they check and announce, also where one of them is stopped."""

import json
import os
import signal
import statistics
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from app.domain.times import DAY_MS
from app.wiring.world import now_ms
from tests.integration.several_hosts import SECRET, Host, hosts_of, observations, tags, well
from tests.receivers import receiving
from tests.servers import Proxy, Redis, SlowLine, until

POLL_SECONDS = 0.5


def test_a_change_of_verdict_is_announced_once_by_two_hosts_to_a_receiver_that_failed(
    between: Proxy, redis: Redis, tmp_path: Path
) -> None:
    name, start = "seed-00001", now_ms() - 60 * DAY_MS
    with receiving(500) as there:
        settings = {
            "ALERT_WEBHOOK_URL": there.url, "ALERT_WEBHOOK_SECRET": SECRET, "CHECK_INTERVAL_MINUTES": "0.05",
            "CHANGE_POLL_SECONDS": str(POLL_SECONDS), "MONITORING_EXPERIMENT": "hosts-alerts", "REDIS_PREFIX": "alerts",
        }  # fmt: skip
        with hosts_of(between.url, redis, tmp_path, 2, **settings) as both:
            assert both[0].tower.register(name).status_code == 201
            sent = observations([0.94, 0.95, 0.93] * 8, start)
            assert both[1].tower.post(f"/models/{name}/1/observations", json=sent).status_code == 201
            sent = observations([0.5] * 5, start + 30 * DAY_MS)
            assert both[1].tower.post(f"/models/{name}/1/observations", json=sent).status_code == 201
            until(lambda: len(there.requests) >= 2, "tries that failed")
            # Meanwhile one of them polls, and both show that. Two requests are a poll.
            began, before = time.monotonic(), between.count("registered-models/search")
            assert len(polls_shown_by(both, 5)) >= 5
            polls = between.count("registered-models/search") - before
            assert polls <= 2 + 1.2 * (time.monotonic() - began) / POLL_SECONDS
            there.mode = 200
            until(lambda: "drifting" in arrived(there), "the alert")
            # The host that leads next has nothing more to say.
            os.kill(next(host for host in both if host.leads()).agent(), signal.SIGKILL)
            well(both)
            until(lambda: both[0].tower.get("/cache/info").json()["freshness"]["checks"]["last_error"] is None)
            # The agent that was killed may have been this host's; until the next one is there, a refresh is a 500.
            until(lambda: both[0].tower.post("/cache/refresh").status_code == 200, "a refresh")
            assert Counter(arrived(there)) == Counter(set(arrived(there)))


@pytest.mark.parametrize("moment", ["reads", "writes"])
def test_where_the_leader_is_stopped_in_the_middle_of_a_check_a_change_is_written_and_announced_once(
    between: Proxy, redis: Redis, seeded_url: str, tmp_path: Path, moment: str
) -> None:
    name, start = "seed-00002", now_ms() - 60 * DAY_MS
    client = MlflowClient(seeded_url, seeded_url)
    with receiving() as there:
        settings = {
            "ALERT_WEBHOOK_URL": there.url, "ALERT_WEBHOOK_SECRET": SECRET, "CHECK_INTERVAL_MINUTES": "0.05",
            "MONITORING_EXPERIMENT": f"hosts-stopped-{moment}", "REDIS_PREFIX": f"stopped-{moment}",
        }  # fmt: skip
        with hosts_of(between.url, redis, tmp_path, 2, **settings) as both:
            assert both[0].tower.register(name).status_code == 201
            sent = observations([0.94, 0.95, 0.93] * 8, start)
            assert both[1].tower.post(f"/models/{name}/1/observations", json=sent).status_code == 201
            until(lambda: arrived(there) == ["healthy"], "the first verdict")
            run_id = both[0].tower.get(f"/models/{name}/1/monitor").json()["monitor_run_id"]
            leader, other = well(both)
            pid = leader.agent()
            try:
                if moment == "reads":
                    between.gate.clear()
                else:
                    between.loses = b"control_tower.verdict"
                # Past every host, so that the next round of checks is the first to see them.
                bad = [Metric("accuracy", 0.5, start + (30 + n) * DAY_MS, 0) for n in range(5)]
                client.log_batch(run_id, metrics=bad)
                until(lambda: between.held > 0, "a check that waits")
                os.kill(pid, signal.SIGSTOP)
                between.loses = b""
                until(other.leads, "another leader")
                between.gate.set()
                until(lambda: "drifting" in arrived(there), "the alert")
            finally:
                between.gate.set()
                between.loses = b""
                os.kill(pid, signal.SIGCONT)
            until(lambda: both[0].leads() != both[1].leads(), "one leader")
            checked = last_round(both[0])
            until(lambda: last_round(both[0]) > checked and last_round(both[1]) > checked, "another round of checks")
            assert Counter(arrived(there)) == {"healthy": 1, "drifting": 1}
            written = client.get_metric_history(run_id, "control_tower.verdict")
            assert {point.value for point in written} == {0.0, 2.0}
            shown = [host.tower.get(f"/models/{name}/1/monitor").json()["verdict"] for host in both]
            assert shown == ["drifting", "drifting"]


def last_round(host: Host) -> str:
    """When the checks last succeeded, as this host shows it."""
    return str(host.tower.get("/cache/info").json()["freshness"]["checks"]["last_run"])


def test_while_redis_is_slow_lists_wait_for_nothing_and_writes_are_acknowledged_or_refused_and_it_heals(
    between: Proxy, redis: Redis, tmp_path: Path
) -> None:
    with closing(SlowLine(redis.port)) as line:
        settings = {
            "REDIS_URL": redis.url.replace(str(redis.port), str(line.port)), "REDIS_PREFIX": "slow",
            "MONITORING_EXPERIMENT": "hosts-slow",
        }  # fmt: skip
        with hosts_of(between.url, redis, tmp_path, 2, **settings) as both:
            assert both[0].tower.register("seed-00003").status_code == 201
            line.delay = 0.4
            until(lambda: all(host.health()["hosts"]["redis"] == "is slow" for host in both), "'is slow' in /health")
            took = []
            for host in both * 10:
                began = time.monotonic()
                assert host.tower.get("/models/all").status_code == 200
                took.append(time.monotonic() - began)
            assert statistics.median(took) < line.delay
            point = observations([0.94], now_ms() - DAY_MS)
            for number, host in enumerate(both, 4):
                answer = host.tower.register(f"seed-0000{number}")
                assert answer.status_code in (201, 503), answer.text
                assert answer.status_code == 201 or int(answer.headers["Retry-After"]) > 0
                assert host.tower.post("/models/seed-00003/1/observations", json=point).status_code == 201
            line.delay = 0.0
            well(both)
            for number, host in enumerate(both, 4):
                # What was refused was not done by halves.
                assert host.tower.register(f"seed-0000{number}").status_code in (201, 400)
                assert [each.is_monitored(f"seed-0000{number}") for each in both] == [True, True]
            until(lambda: tags(both[0]) == tags(both[1]), "the same ETags on both hosts")


def polls_shown_by(both: list[Host], count: int) -> set[str]:
    """When MLflow was polled, as both hosts show it in turns."""
    seen: set[str] = set()

    def look() -> bool:
        for host in both:
            seen.add(host.tower.get("/cache/info").json()["freshness"]["poll"]["last_run"])
        return len(seen) >= count

    until(look, "polls")
    return seen


def arrived(there: Any) -> list[str]:
    """The verdicts that the receiver took. A message that came again, with the same `webhook-id`, is one."""
    messages = {headers["webhook-id"]: json.loads(body) for headers, body in list(there.taken)}
    return [row["verdict"] for message in messages.values() for row in message["changes"]]
