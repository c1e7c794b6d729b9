"""A storm of kill -9 while registrations and observations come in: what was acknowledged is there afterwards, once."""

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from mlflow import MlflowClient

from app.domain.times import rfc3339
from app.wiring.world import now_ms
from tests.long.processes import workers
from tests.servers import HANGS_AFTER_SECONDS, HOST, Tower, agents, answers, free_port, tower, until

WRITERS = 6
LEAST_KILLED = 6
EXPERIMENT = "storm"


@dataclass
class Told:
    """What one writer was told. An observation that failed may have arrived or not, and is claimed in neither way."""

    registered: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    observed: dict[str, set[float]] = field(default_factory=dict)
    acknowledged: int = 0
    failed: int = 0


class Writer:
    """Registers models that nobody else does, removes some, and sends observations of the others."""

    def __init__(self, url: str, number: int, over: threading.Event) -> None:
        self.url, self.over = url, over
        self.rng = random.Random(number)
        self.names = [f"seed-{n:05d}" for n in range(number, 262, WRITERS)]
        self.told = Told()
        self.sent = 0

    def run(self) -> Told:
        for name in self.names:
            # 400: a try before this one did it, though nobody could say so.
            if not self.insist("post", name, {201, 400}, {"model_type": "classifier"}):
                return self.told
            self.told.registered.add(name)
            self.go_on_with(name)
        while not self.over.is_set() and self.told.registered:
            self.observe(self.rng.choice(sorted(self.told.registered)))
        return self.told

    def go_on_with(self, name: str) -> None:
        for _ in range(3):
            self.observe(name)
        if self.rng.random() < 0.25:
            self.told.registered.discard(name)
            if self.insist("delete", name, {200, 404}):
                self.told.removed.add(name)

    def observe(self, name: str) -> None:
        self.sent += 1
        value = float(self.sent)
        body = {"metrics": {"accuracy": value}, "timestamp": rfc3339(now_ms() - 1000)}
        if self.ask("post", f"{name}/1/observations", {201}, body):
            self.told.observed.setdefault(name, set()).add(value)

    def insist(self, method: str, name: str, wanted: set[int], body: object = None) -> bool:
        """Ask until it is done; false where the storm was over before that."""
        while not self.over.is_set():
            if self.ask(method, f"{name}/1/monitor", wanted, body):
                return True
        return False

    def ask(self, method: str, path: str, wanted: set[int], body: object = None) -> bool:
        status = None
        with suppress(requests.RequestException):
            status = requests.request(
                method, f"{self.url}/models/{path}", json=body, timeout=HANGS_AFTER_SECONDS
            ).status_code
        if status in wanted:
            self.told.acknowledged += 1
            return True
        self.told.failed += 1
        # Nothing else than the storm's doing may fail.
        assert status in {None, 500}, (path, status)
        self.over.wait(0.1)
        return False


class Storm:
    """A tower that is started again whenever its master is killed."""

    def __init__(self, folder: Path, mlflow: str) -> None:
        self.folder, self.mlflow, self.port = folder, mlflow, free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.rng, self.killed = random.Random(1), Counter[str]()
        self.stack = ExitStack()
        self.running = self.start()

    def start(self) -> Tower:
        settings = {"MONITORING_EXPERIMENT": EXPERIMENT, "MLFLOW_REQUEST_TIMEOUT_SECONDS": "30"}
        settings |= {"CHECK_INTERVAL_MINUTES": "0.1", "CACHE_REFRESH_INTERVAL_MINUTES": "0.2"}
        return self.stack.enter_context(tower(self.folder, self.mlflow, 4, ready=False, port=self.port, **settings))

    def strike(self) -> None:
        """Kill a worker, the agent, or the master and all that is his."""
        what = self.rng.choice(["worker", "worker", "agent", "agent", "master"])
        if what == "master":
            self.running.kill()
            self.stack.close()
            self.running = self.start()
        else:
            processes = workers(self.running) if what == "worker" else agents(self.running)
            if not processes:
                return
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(processes), signal.SIGKILL)
        self.killed[what] += 1

    def close(self) -> None:
        self.stack.close()


def listed(running: Tower) -> Counter[str]:
    """How often each model stands in the list of registrations."""
    return Counter(row["name"] for row in running.get("/models/monitored?page_size=1000").json())


def open_runs(client: MlflowClient) -> dict[str, list[str]]:
    """MLflow's own word: the open monitor runs of each model."""
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=5000):
        found.setdefault(run.data.tags["control_tower.model_name"], []).append(run.info.run_id)
    return found


def weather(storm: Storm, seconds: float) -> list[Told]:
    """Let the storm rage while writers write; what they were told."""
    over, end = threading.Event(), time.monotonic() + seconds
    writers = [Writer(storm.url, number, over) for number in range(WRITERS)]

    def acknowledged() -> int:
        return sum(writer.told.acknowledged for writer in writers)

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(writer.run) for writer in writers]
        try:
            while time.monotonic() < end or storm.killed.total() < LEAST_KILLED:
                # It strikes while there is work, on a machine of any speed.
                enough = acknowledged() + storm.rng.randrange(1, 25)
                until(lambda enough=enough: acknowledged() >= enough, "answers in the storm")  # type: ignore[misc]
                storm.strike()
        finally:
            over.set()
        return [one.result() for one in writing]


def test_whatever_is_killed_what_was_acknowledged_is_there_afterwards_and_once(
    tmp_path: Path, seeded_url: str, seconds: float
) -> None:
    client = MlflowClient(seeded_url, seeded_url)
    with closing(Storm(tmp_path, seeded_url)) as storm:
        until(lambda: answers(storm.url + "/readyz"))
        told = weather(storm, seconds)
        until(lambda: answers(storm.url + "/readyz"))
        registered = set().union(*(one.registered for one in told))
        removed = set().union(*(one.removed for one in told))
        print(f"killed {dict(storm.killed)}; {len(registered)} registered, {sum(one.failed for one in told)} failed")
        assert registered
        assert removed
        running = storm.running
        for found in (listed(running) for _ in range(20)):
            assert registered - set(found) == set()
            assert removed & set(found) == set()
        # What failed half-way is in MLflow, or it is not: the next refresh knows.
        assert running.post("/cache/refresh").status_code == 200
        runs = open_runs(client)
        assert listed(running) == Counter({name: len(ids) for name, ids in runs.items()}) == Counter(list(runs))
        for one in told:
            for name in sorted(one.observed.keys() & one.registered):
                values = [point.value for point in client.get_metric_history(runs[name][0], "accuracy")]
                assert one.observed[name] - set(values) == set(), name
                assert len(values) == len(set(values)), name
