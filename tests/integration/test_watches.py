"""Watches over several processes: the record follows the alias, whoever dies meanwhile."""

import os
import random
import signal
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient

from tests.servers import Tower, agents, tower, until

MOVES = 4


def versions(running: Tower, name: str) -> list[str]:
    rows = running.get(f"/monitoring?name={name}").json()
    return [row["model_version"] for row in rows]


def open_records(client: MlflowClient, experiment: str, name: str) -> list[str]:
    """The versions with an open monitor run in MLflow."""
    return records(client, experiment, name, "attributes.status = 'RUNNING'")


def records(client: MlflowClient, experiment: str, name: str, condition: str = "") -> list[str]:
    """The version of each monitor run of a registered model, open or ended."""
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], condition)
    tags = [run.data.tags for run in runs]
    return sorted(t["control_tower.model_version"] for t in tags if t.get("control_tower.model_name") == name)


def kill_agents(running: Tower) -> None:
    for pid in agents(running):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_record_follows_the_alias_although_the_agent_is_killed_at_any_moment(
    tmp_path: Path, mlflow_url: str
) -> None:
    client, name, experiment = MlflowClient(mlflow_url, mlflow_url), f"moving {uuid.uuid4().hex[:8]}", "moving"
    # The one is watched, the other is covered by a rule.
    both = (name, f"{name} by rule")

    def move_to(version: str) -> None:
        for model in both:
            client.set_registered_model_alias(model, "blue", version)

    for model in both:
        client.create_registered_model(model)
        for _ in range(3):
            client.create_model_version(model, "mem:/nothing")
    move_to("1")
    path = f"/models/{name}/aliases/blue"
    rule = {"name": "blue", "match": {"aliases": ["blue"], "name": both[1]}}
    chance = random.Random(13)
    with tower(
        tmp_path, mlflow_url, 2, MONITORING_EXPERIMENT=experiment, ALIAS_POLL_SECONDS="1", forked=True
    ) as running:
        assert running.post(f"{path}/monitor", json={"model_type": "classifier"}).status_code == 201
        assert running.post("/monitoring/rules", json=rule).status_code == 201
        seen = {running.get(f"{path}/monitor").json()["model_version"] for _ in range(20)}
        assert (seen, versions(running, name)[-1:]) == ({"1"}, ["1"])
        for move in range(MOVES):
            now = str(2 + move % 2)
            move_to(now)
            if move:
                killing = threading.Timer(chance.uniform(0, 2.5), kill_agents, [running])
                killing.start()
                killing.join()
            until(lambda now=now: versions(running, name) == [now, now], f"monitoring of version {now}")
            for model in both:
                until(lambda now=now, of=model: open_records(client, experiment, of) == [now], f"its record of {model}")
        sent = running.post(f"{path}/observations", json={"metrics": {"accuracy": 0.9}})
        assert sent.json() == {"accepted": 1, "model_version": now}
        running.kill()
    move_to("1")
    with tower(tmp_path, mlflow_url, 2, MONITORING_EXPERIMENT=experiment, forked=True) as again:
        assert again.post("/cache/refresh").status_code == 200
        assert versions(again, name) == ["1", "1"]
        for model in both:
            assert open_records(client, experiment, model) == ["1"]
            # A version that came back has its record again.
            assert records(client, experiment, model) == ["1", "2", "3"]
