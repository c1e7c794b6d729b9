"""Whatever JSON somebody plants in the cache of this service, or in Redis, is a miss: no answer is an error of ours."""

import random
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.services.host.file_cache import FileCache
from tests.api.data import NAME, PATH, day, judge, rows, send
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway
from tests.fakes.memory_world import memory_world

WRONG: tuple[Any, ...] = (None, True, 5, 1e300, "x", "2026", [], {}, [5], [None], [[1]], [{}], {"a": 5}, {"a": {}})
MOST_PLACES = 30
Place = tuple[str | int, ...]
ASKED = (
    "/health", "/readyz", "/metrics", "/cache/info", "/dashboard/summary", "/experiments", "/models/all?sort=name",
    "/models/production", "/models/monitored", "/models/findings", "/fleet?sort=-verdict", "/fleet/models?sort=last_at",
    "/fleet/summary", "/monitoring?sort=since", "/monitoring/history", "/monitoring/watches", "/monitoring/rules",
    "/history", "/model/m/versions", "/model/m/history", "/model/m/holders", "/promotions", f"{PATH}/monitor",
    f"{PATH}/series", f"{PATH}/data-drift", f"{PATH}/reference", f"{PATH}/monitor/status", "/debug/monitored",
    "/ui/model/m",
)  # fmt: skip


class KnownKeys(FileCache):
    """A cache of which the keys are known, and which of them were looked at."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.bodies: dict[str, bytes] = {}
        self.looked_at: set[str] = set()

    def mark(self, key: str) -> object:
        self.looked_at.add(key)
        return super().mark(key)

    def get(self, key: str) -> Any:
        self.looked_at.add(key)
        return super().get(key)

    def store(self, key: str, body: bytes) -> bool:
        self.bodies[key] = body
        return super().store(key, body)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Service, KnownKeys]:
    """A service that has stored something of each kind."""
    directory, gateway = tmp_path_factory.mktemp("planted"), MemoryGateway()
    cache = KnownKeys(directory / "cache")
    service = Service(directory, gateway, replace(memory_world(directory, gateway), cache=cache))
    for name in ("m", "n", NAME):
        gateway.world.add_version(name, tags={"owner": "ada"})
    gateway.world.set_alias("n", "champion", 1)
    for name in ("m", NAME):
        assert service.register(name, settings={"limits": {"accuracy": {"min": 0.9}}}).status_code == 201
        assert service.observe(name, metrics={"accuracy": 0.5}).status_code == 201
    assert service.post("/models/m/1/comments", json={"text": "odd"}).status_code == 201
    assert service.post("/models/n/aliases/champion/monitor", json={"model_type": "classifier"}).status_code == 201
    rule = {"name": "all", "match": {"name": "m*"}, "model_type": "classifier"}
    assert service.post("/monitoring/rules", json=rule).status_code == 201
    sent = {"rows": rows(1000, 9, labels=True), "prediction": "said", "score": "p", "label": "true"}
    assert service.call("PUT", f"{PATH}/reference", json=sent).status_code == 200
    assert send(service, {"rows": rows(400, 7), "batch_id": "day", **day(1)}).status_code == 201
    judge(service)
    service.refresh()
    service.agent.recorder.record()
    service.agent.recorder.record()
    service.agent.historian.read()
    service.agent.coordinator.count()
    service.check()
    for path in ASKED:
        assert service.get(path).status_code == 200, path
    return service, cache


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where something stands in JSON: the keys on the way to it."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside)[:12]:
        yield from places(one, (*at, key))


def with_other(value: Any, at: Place, other: Any) -> Any:
    if not at:
        return other
    changed = value.copy()
    changed[at[0]] = with_other(value[at[0]], at[1:], other)
    return changed


def mutants(key: str, value: Any) -> Iterator[tuple[Place, Any]]:
    """The value with something else in one place, and that place."""
    rng = random.Random(key)
    found = list(places(value))
    chosen = found if len(found) <= MOST_PLACES else [*found[:8], *rng.sample(found[8:], MOST_PLACES - 8)]
    for at in chosen:
        for other in rng.sample(WRONG, 2):
            yield at, with_other(value, at, other)


def kinds(bodies: dict[str, bytes]) -> list[str]:
    """A key of each kind, of several segments the fullest."""
    fullest: dict[str, str] = {}
    for key, body in bodies.items():
        kind = key.rstrip("0123456789abcdef")
        if kind not in fullest or len(bodies[fullest[kind]]) < len(body):
            fullest[kind] = key
    return sorted(fullest.values())


def test_whatever_json_is_planted_no_answer_is_an_error(planted: tuple[Service, KnownKeys]) -> None:
    service, cache = planted
    # Not held against OpenAPI: of a word that stands for another one nobody can tell that it was planted.
    client = service.app.test_client()
    stored = dict(cache.bodies)
    failed = []
    for key in kinds(stored):
        # An answer that does not look at the first one depends on none of them.
        asked = ASKED
        for at, mutant in mutants(key, orjson.loads(stored[key])):
            cache.store(key, orjson.dumps(mutant))
            looking = []
            for path in asked:
                cache.looked_at.clear()
                if client.get(path).status_code != HTTPStatus.OK:
                    failed.append((key, at, path))
                if key in cache.looked_at:
                    looking.append(path)
            if asked is ASKED:
                asked = tuple(looking)
        cache.store(key, stored[key])
    assert failed == []
