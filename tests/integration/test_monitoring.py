"""Monitoring on the real thing: observations by HTTP, verdicts in MLflow and on every worker, receivers."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from tests.contract.real_world import RealWorld
from tests.receivers import HttpReceiver, receiving
from tests.servers import HOST, Proxy, Tower, tower, until

SECRET = "a secret of enough characters"
ASKED = 20


@pytest.fixture
def there() -> Iterator[HttpReceiver]:
    with receiving() as made:
        yield made


def changes(there: HttpReceiver) -> dict[str, str]:
    """The newest verdict that arrived on each model."""
    rows = [row for message in there.messages for row in message.get("changes", [])]
    return {row["name"]: row["verdict"] for row in rows}


def told(there: HttpReceiver, experiment: str) -> dict[str, str]:
    return {
        "ALERT_WEBHOOK_URL": there.url,
        "ALERT_WEBHOOK_SECRET": SECRET,
        "ALERT_URLS": f"json://{HOST}:{there.port}/",
        "MONITORING_EXPERIMENT": experiment,
    }


def observed(values: list[float], first: int) -> dict[str, Any]:
    return {
        "observations": [
            {"metrics": {"accuracy": value}, "timestamp": rfc3339(first + n * DAY_MS)} for n, value in enumerate(values)
        ]
    }


def verdicts(running: Tower, name: str) -> set[str]:
    """The verdict that so many requests in a row show: those of all workers."""
    return {running.get(f"/models/{name}/1/monitor").json()["verdict"] for _ in range(ASKED)}


def steady(count: int) -> list[float]:
    rng = random.Random(5)
    return [rng.gauss(0.94, 0.01) for _ in range(count)]


def test_what_a_scoring_job_sends_becomes_a_verdict_on_every_worker_in_mlflow_and_at_the_receivers(
    tmp_path: Path, mlflow_url: str, there: HttpReceiver
) -> None:
    RealWorld(mlflow_url).add_version("scored", {"accuracy": 0.99})
    path, start = "/models/scored/1/observations", now_ms() - 60 * DAY_MS
    with tower(tmp_path, mlflow_url, CHECK_INTERVAL_MINUTES="0", forked=True, **told(there, "scoring")) as running:
        assert running.register("scored").status_code == 201
        assert running.post(path, json=observed(steady(25), start)).json() == {"accepted": 25}
        until(lambda: verdicts(running, "scored") == {"healthy"})
        assert running.post(path, json=observed([0.7] * 4, start + 30 * DAY_MS)).status_code == 201
        until(lambda: verdicts(running, "scored") == {"drifting"})
        found = running.get("/models/scored/1/monitor").json()
        assert "accuracy fell to 0.700" in found["reasons"][0]
        assert "Below at 4 of the last 5 points" in found["reasons"][0]
        # What follows at once goes into one message.
        until(lambda: any("drifting" in body.get("title", "") for body in there.messages))
        until(lambda: "drifting" in changes(there).values())
        events = running.get("/monitoring/history?name=scored").json()
        assert [(e["event"], e["before"], e["verdict"]) for e in events] == [
            ("verdict", "healthy", "drifting"),
            ("verdict", "insufficient_data", "healthy"),
            ("registered", None, None),
        ]
        run = MlflowClient(mlflow_url, mlflow_url).get_run(found["monitor_run_id"])
        assert run.data.metrics["control_tower.verdict"] == 2
        assert run.data.tags["control_tower.verdict"] == "drifting"
    hooks = [body for body in there.messages if "changes" in body]
    assert [one["verdict"] for body in hooks for one in body["changes"]] == ["healthy", "drifting"]
    assert all("webhook-signature" in headers for _, headers, body in there.requests if b'"changes"' in body)
    assert "path-token" not in running.text()
    assert "query-token" not in running.text()
    assert SECRET not in running.text()


def test_what_a_receiver_is_owed_is_delivered_after_kill_9_and_no_more_than_once_in_the_normal_case(
    tmp_path: Path, mlflow_url: str, there: HttpReceiver
) -> None:
    RealWorld(mlflow_url).add_version("owed", {"accuracy": 0.5})
    settings = {**told(there, "owing"), "ALERT_URLS": "", "CHECK_INTERVAL_MINUTES": "0.05"}
    there.mode = 500
    with tower(tmp_path, mlflow_url, workers=2, forked=True, **settings) as running:
        body = {"model_type": "classifier", "settings": {"limits": {"accuracy": {"min": 0.9}}}}
        assert running.post("/models/owed/1/monitor", json=body).status_code == 201
        until(lambda: there.requests)
        running.kill()
    there.mode = 200
    there.requests.clear()
    with tower(tmp_path, mlflow_url, workers=2, forked=True, **settings) as running:
        until(lambda: there.names)
        assert (there.names, changes(there)) == (["owed"], {"owed": "degraded"})
        until(lambda: "Notified webhook" in running.text())
        seen = running.get("/cache/info").json()["freshness"]["checks"]["last_run"]
        until(lambda: running.get("/cache/info").json()["freshness"]["checks"]["last_run"] > seen)
    assert (there.names, changes(there)) == (["owed"], {"owed": "degraded"})


def test_observations_sent_at_once_are_all_taken_and_none_is_lost(written_tower: Tower, mlflow_url: str) -> None:
    RealWorld(mlflow_url).add_version("crowded")
    assert written_tower.register("crowded").status_code == 201

    def send(number: int) -> int:
        body = {"metrics": {"accuracy": number / 100}, "timestamp": rfc3339(1_700_000_000_000 + number)}
        return written_tower.post("/models/crowded/1/observations", json=body).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(send, range(60))) == {201}
    found = written_tower.get("/models/crowded/1/series").json()["metrics"]["accuracy"]
    assert [point["value"] for point in found["points"]] == [n / 100 for n in range(60)]


def test_with_mlflow_hanging_an_observation_is_a_500_and_the_verdict_stays(tmp_path: Path, mlflow_url: str) -> None:
    RealWorld(mlflow_url).add_version("hung", {"accuracy": 0.5})
    with closing(Proxy(mlflow_url)) as between:
        settings = {"MLFLOW_REQUEST_TIMEOUT_SECONDS": "5", "MLFLOW_REQUEST_MAX_RETRIES": "0"}
        settings["MONITORING_EXPERIMENT"] = "hanging"
        with tower(tmp_path, between.url, workers=2, CHECK_INTERVAL_MINUTES="0.02", forked=True, **settings) as running:
            body = {"model_type": "classifier", "settings": {"limits": {"accuracy": {"min": 0.9}}}}
            assert running.post("/models/hung/1/monitor", json=body).status_code == 201
            until(lambda: verdicts(running, "hung") == {"degraded"})
            between.mode = "hang"
            path = "/models/hung/1/observations"
            answer = running.post(path, json={"metrics": {"accuracy": 1}})
            assert answer.status_code == 500
            assert between.held
            assert verdicts(running, "hung") == {"degraded"}
            assert running.get("/monitoring?verdict=degraded").json()[0]["model_name"] == "hung"
            between.mode = "up"
            until(lambda: running.post(path, json={"metrics": {"accuracy": 1}}).status_code == 201)
