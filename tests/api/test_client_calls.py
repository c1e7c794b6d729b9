"""The Python client against the service: the example of each call is run, and counts are what rows would have been."""

import doctest
import json
import random
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.api.service import Service

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "client"))

from control_tower_client import ControlTower, client

NAME = "credit risk"


@pytest.fixture
def host(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that requests of the client reach."""

    def ask(_: Any, method: str, url: str, **options: Any) -> requests.Response:
        query = {name: value for name, value in (options["params"] or {}).items() if value is not None}
        path = f"{url.removeprefix('http://localhost:8000')}?{urlencode(query, doseq=True)}"
        sent = service.call(method, path, data=options["data"], headers=options["headers"] or {})
        answer = requests.Response()
        answer.status_code, answer.raw = sent.status_code, BytesIO(sent.data)
        return answer

    monkeypatch.setattr(requests.Session, "request", ask)
    for _ in range(3):
        service.world.add_version(NAME)
    return service


def rows(many: int) -> list[dict[str, Any]]:
    rng = random.Random(1)
    made = []
    for _ in range(many):
        p = rng.random()
        said = "yes" if p > 0.5 else "no"
        made.append({"age": rng.choice([None, rng.gauss(40, 10)]), "said": said, "probability": p, "paid back": "no"})
    return made


def test_the_example_of_each_call_is_what_happens(host: Service) -> None:
    calls = doctest.DocTestFinder().find(ControlTower, "ControlTower", globs={"ControlTower": ControlTower})
    # One after another, as in the class: a version is registered before anything is sent.
    calls.sort(key=lambda one: one.lineno or 0)
    known = {"ControlTower": ControlTower, "rows": rows(1000)}
    runner, said = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF), []
    for call in calls:
        call.globs = known
        runner.run(call, out=said.append, clear_globs=False)
        host.check()
    assert not runner.failures, "".join(said)
    with_example = {call.name.rpartition(".")[2] for call in calls if call.examples}
    public = {name for name in vars(ControlTower) if not name.startswith("_")}
    assert with_example >= public


def test_a_batch_is_counted_by_the_client_as_by_the_service(host: Service) -> None:
    tower = ControlTower("http://localhost:8000")
    tower.register(NAME, 3)
    tower.set_reference(NAME, 3, rows(1000), prediction="said", score="probability", kinds={"paid back": "ignore"})
    batch = rows(300)
    assert tower.send_batch(NAME, 3, batch, batch_id="7")["rows"] == 300
    # The same rows with the same id are the same batch, so other counts would be a 409.
    path = "/models/credit%20risk/3/batches"
    again = host.post(path, json={"rows": json.loads(json.dumps(batch)), "batch_id": "7"})
    assert (again.status_code, again.json["rows"]) == (201, 300)
    assert client.counts_of(batch, tower.reference(NAME, 3)["layout"])["rows"] == 300


def test_after_another_reference_the_client_counts_by_its_bins(host: Service) -> None:
    job, training = ControlTower("http://localhost:8000"), ControlTower("http://localhost:8000")
    training.register(NAME, 2)
    roles = {"prediction": "said", "score": "probability", "kinds": {"paid back": "ignore"}}
    first = training.set_reference(NAME, 2, rows(1000), **roles)
    assert job.send_batch(NAME, 2, rows(300))["reference"] == first["id"]
    newer = training.set_reference(NAME, 2, rows(30), **roles)
    edges = [len(one["layout"]["columns"]["age"]["edges"]) for one in (first, newer)]
    assert edges[0] != edges[1]
    assert job.send_batch(NAME, 2, rows(300))["reference"] == newer["id"]
