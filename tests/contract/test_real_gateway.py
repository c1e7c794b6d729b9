"""What only the real gateway can show: MLflow refusing, hanging, dripping, failing, lying."""

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

from app.domain.comparison.requirements import Requirements
from app.domain.errors import MlflowAddressRefused, MlflowDenied, MlflowTooSlow, MlflowUnavailable
from app.domain.registry.models import Registration
from app.domain.registry.names import EVALUATES
from app.domain.registry.server import MlflowServer
from app.domain.registry.stages import stage_rules
from app.services.mlflow_gateway import metric_points
from app.services.mlflow_gateway.calls import AT_ONCE
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.monitoring.comparison import Comparison
from app.wiring.agent import Agent, build_agent
from app.wiring.world import now_ms
from tests.api.service import settings_of
from tests.contract.real_world import RealWorld
from tests.fakes.memory_world import memory_world
from tests.servers import HANGS_AFTER_SECONDS, Proxy, free_port, until

SECRET = "s3cr3t-pw"


def gateway(url: str, timeout: int = 1, retries: int = 1) -> MlflowGateway:
    return MlflowGateway.connect(
        url, monitoring_experiment="control-tower", clock=now_ms, timeout=timeout, retries=retries
    )


@pytest.fixture
def faulty(mlflow_url: str) -> Iterator[Proxy]:
    made = Proxy(mlflow_url)
    yield made
    made.close()


@pytest.mark.parametrize("mode", ["hang", "drip", "refuse"])
def test_a_call_ends_within_its_time_whatever_mlflow_does(faulty: Proxy, mode: str) -> None:
    reader = gateway(faulty.url)
    faulty.mode = mode
    with pytest.raises(MlflowUnavailable):
        reader.read_inventory()
    # It did not wait until MLflow let it go.
    assert faulty.held or mode == "refuse"
    faulty.mode = "up"
    until(lambda: reads(reader))


def reads(reader: MlflowGateway) -> bool:
    try:
        return bool(reader.read_inventory().experiments)
    except MlflowUnavailable:  # a machine that is busy may need more than this second
        return False


def test_calls_bounded_together_end_together(faulty: Proxy) -> None:
    reader = gateway(faulty.url, timeout=600)
    faulty.mode = "hang"
    with pytest.raises(MlflowTooSlow), reader.within(0.5):
        reader.ping()
    assert faulty.held == 1


def test_a_refused_connection_is_told_at_once_and_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    reader = gateway(f"http://user:{SECRET}@127.0.0.1:{free_port()}")
    with pytest.raises(MlflowUnavailable) as caught:
        reader.ping()
    assert "MLFLOW_TRACKING_URI" in caught.value.detail
    assert SECRET not in caught.value.detail
    assert SECRET not in caplog.text


def test_a_user_name_and_password_in_the_address_are_sent_to_mlflow(faulty: Proxy) -> None:
    seen: list[str | None] = []
    forward = faulty.forward

    def spy(request: object, body: bytes) -> None:
        seen.append(request.headers.get("Authorization"))  # type: ignore[attr-defined]
        forward(request, body)  # type: ignore[arg-type]

    faulty.forward = spy  # type: ignore[method-assign,assignment]
    gateway(faulty.url.replace("http://", f"http://ada:{SECRET}@"), timeout=60).ping()
    assert seen
    assert all(header and header.startswith("Basic ") for header in seen)


def test_a_slow_server_is_asked_for_smaller_pages(faulty: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = gateway(faulty.url, timeout=5, retries=0)
    answer = faulty.forward
    refused: list[str] = []

    def only_small_pages(request: object, body: bytes) -> None:
        if "model-versions/search" in request.path and "max_results=10000" in request.path:  # type: ignore[attr-defined]
            refused.append(request.path)  # type: ignore[attr-defined]
            faulty.closing.wait(HANGS_AFTER_SECONDS)
            return
        answer(request, body)  # type: ignore[arg-type]

    monkeypatch.setattr(faulty, "forward", only_small_pages)
    assert reader.read_inventory().experiments
    assert len(refused) == 1


def test_after_stop_every_caller_is_let_go(faulty: Proxy) -> None:
    reader = gateway(faulty.url)
    reader.stop()
    with pytest.raises(MlflowTooSlow):
        reader.ping()


SEARCH = "/api/2.0/mlflow/runs/search"


def agent_of(directory: Path, reader: MlflowGateway) -> Agent:
    """The agent's objects in this process, over a real gateway."""
    return build_agent(settings_of(), replace(memory_world(directory), gateway=reader, clock=now_ms))


@pytest.mark.parametrize("new", [1, 3, 6])
def test_no_registration_is_ended_when_runs_are_made_between_two_pages(
    faulty: Proxy, mlflow_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: int
) -> None:
    """Pages of five of twelve registrations, and new runs before each page: the list is read to its end, and each
    monitor run once, so that none counts as its own double."""
    experiment = f"monitor-{uuid.uuid4().hex[:8]}"
    reader = MlflowGateway.connect(faulty.url, monitoring_experiment=experiment, clock=now_ms, timeout=60)
    world, name = RealWorld(mlflow_url), f"paged-{uuid.uuid4().hex[:8]}"
    world.add_model(name)
    for _ in range(12):
        world.client.create_model_version(name, "mem:/model")
    running = agent_of(tmp_path, reader)
    for version in range(1, 13):
        running.services.writer.register(name, str(version), "classifier", "ada")
    fleet = running.services.tracker.fleet()
    tower_experiment = world.client.get_experiment_by_name(experiment).experiment_id
    forward, pages = faulty.forward, []

    def cut(request: Any, body: bytes) -> None:
        if request.path.startswith(SEARCH):
            for _ in range(new):
                world.client.create_run(tower_experiment, tags={"somebody": "else"})
            pages.append(body)
            body = json.dumps({**json.loads(body), "max_results": 5}).encode()
            del request.headers["Content-Length"]
        forward(request, body)

    monkeypatch.setattr(faulty, "forward", cut)
    running.reconciler.reconcile(fleet)
    assert 3 < len(pages) < 12
    monkeypatch.undo()
    assert {one.version for one in reader.open_registrations() or ()} == set(range(1, 13))
    assert len(running.services.registrations.peek().by_key) == 12


def test_a_model_that_may_no_longer_be_read_is_not_gone_and_holds_up_no_other(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, secret, plain = RealWorld(mlflow_url), f"secret-{uuid.uuid4().hex[:8]}", f"plain-{uuid.uuid4().hex[:8]}"
    for name in (secret, plain):
        world.add_version(name)
    reader = gateway(faulty.url, timeout=60)
    forward = faulty.forward

    def deny(request: Any, body: bytes) -> None:
        """As basic authentication does: in no list, and a 403 without JSON when it is asked for."""
        if secret not in request.path:
            forward(request, body)
        elif "/search" in request.path:
            faulty.answer(request, 200, b"{}")
        else:
            faulty.answer(request, 403, b"Permission denied", "text/plain")

    monkeypatch.setattr(faulty, "forward", deny)
    with pytest.raises(MlflowDenied):
        reader.find_version(secret, 1)
    with pytest.raises(MlflowDenied):
        reader.read_models([secret], ["0"])
    gone = f"gone-{secret[:-1]}"
    assert {name: reading.model for name, reading in reader.read_models([gone, secret], ["0"]).items()} == {gone: None}


@pytest.mark.parametrize("path", ["model-versions/get", "experiments/get", "runs/create", "experiments/create"])
def test_an_empty_answer_about_one_thing_is_an_error_in_our_words(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    world, name = RealWorld(mlflow_url), f"empty-{uuid.uuid4().hex[:8]}"
    world.add_version(name)
    experiment = f"empty-{uuid.uuid4().hex[:8]}"
    reader = MlflowGateway.connect(faulty.url, monitoring_experiment=experiment, clock=now_ms, timeout=60)
    forward = faulty.forward

    def emptied(request: Any, body: bytes) -> None:
        if f"mlflow/{path}" in request.path:
            faulty.answer(request, 200, b"{}")
        else:
            forward(request, body)

    monkeypatch.setattr(faulty, "forward", emptied)

    def ask() -> None:
        version = reader.find_version(name, 1)
        assert version is not None
        reader.find_experiment("0")
        reader.open_monitor_run(Registration(name, 1, "classifier", "ada", now_ms(), "", version.created))

    with pytest.raises(MlflowUnavailable, match="cannot be understood"):
        ask()


def test_without_any_experiment_nobody_is_told_that_there_are_no_points_and_no_runs(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, name = RealWorld(mlflow_url), f"nowhere-{uuid.uuid4().hex[:8]}"
    world.add_version(name, {"accuracy": 0.9})
    row = gateway(mlflow_url, timeout=60).find_version(name, 1)
    assert row is not None
    reader = gateway(faulty.url, timeout=60)
    faulty.mode = "empty"
    with pytest.raises(MlflowUnavailable, match="is empty"):
        reader.evidence([row], {})
    with pytest.raises(MlflowUnavailable, match="is empty"):
        reader.readable_evidence([row], {})
    with pytest.raises(MlflowUnavailable, match="is empty"):
        reader.count_runs()


def test_a_page_token_that_repeats_is_an_error_for_every_list(faulty: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = gateway(faulty.url, timeout=60)
    run = {"info": {"run_id": "a" * 32, "experiment_id": "0", "status": "FINISHED"}, "data": {}}
    page = {"runs": [run], "next_page_token": base64.b64encode(b'{"offset": 1}').decode()}

    def repeat(request: Any, body: bytes) -> None:
        faulty.answer(request, 200, json.dumps(page).encode())

    forward = faulty.forward
    monkeypatch.setattr(faulty, "forward", lambda r, b: (repeat if r.path.startswith(SEARCH) else forward)(r, b))
    with pytest.raises(MlflowUnavailable, match="do not come to an end"):
        reader.list_runs("0", 100, None)
    with pytest.raises(MlflowUnavailable, match="do not come to an end"):
        reader.count_runs()


@pytest.mark.parametrize("length", [1, 230, 240, 241, 250, 1000])
def test_what_a_registration_writes_fits_the_columns_of_every_database(sqlite_uri: str, length: int) -> None:
    """SQLite keeps any length; PostgreSQL refuses what is longer than MLflow's own tables say."""
    reader = gateway(sqlite_uri, timeout=60)
    name = uuid.uuid4().hex[:1] * length
    made = reader.open_monitor_run(Registration(name, 12, "classifier", "a" * 250, now_ms(), "", 1))
    run = RealWorld(sqlite_uri).client.get_run(made.monitor_run_id)
    assert len(run.info.run_name) <= SqlRun.name.type.length
    assert len(run.data.tags["mlflow.user"]) <= SqlRun.user_id.type.length
    assert all(len(value) <= SqlTag.value.type.length for value in run.data.tags.values())
    assert run.info.run_name.endswith(" v12")
    assert reader.find_registrations(name, 12)[0].name == name


GUNICORNS = 4094


def test_more_runs_than_fit_into_an_address_are_read_and_the_longest_names_of_models_too(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, reader = RealWorld(mlflow_url), gateway(faulty.url, timeout=60)
    name = f"evaluated daily {uuid.uuid4().hex[:8]}"
    world.add_version(name)
    for day in range(98):
        world.add_run({"accuracy": day / 100}, {EVALUATES: f"models:/{name}/1"})
    long = [f"{name} {n:03d} {'x' * 200}" for n in range(110)]
    for one in long:
        world.add_model(one)
    faulty.longest_line = GUNICORNS
    row = reader.find_version(name, 1)
    assert row is not None
    assert sorted(p.value or 0 for p in reader.evidence([row], {})[name, 1]) == [day / 100 for day in range(98)]
    readings = reader.read_models(long, ["0"])
    assert {n: one.model is not None for n, one in readings.items()} == dict.fromkeys(long, True)
    assert faulty.refused_lines == 0
    # Behind a proxy that takes less still: each is read in smaller parts.
    faulty.longest_line = 1500
    assert len(reader.evidence([row], {})[name, 1]) == 98
    assert reader.read_models(long[:20], ["0"]).keys() == set(long[:20])
    # What is too long by itself alone stays unread.
    odd = f"{name} {'ü' * 400}"
    world.add_model(odd)
    assert reader.read_models([odd, *long[:3]], ["0"]).keys() == set(long[:3])
    with pytest.raises(MlflowAddressRefused):
        reader.read_models([odd], ["0"])


def test_many_metrics_are_read_several_at_once_over_a_slow_link(faulty: Proxy, mlflow_url: str) -> None:
    world, reader = RealWorld(mlflow_url), gateway(faulty.url, timeout=10)
    name = f"of many metrics {uuid.uuid4().hex[:8]}"
    world.add_version(name)
    run = world.run_of(name, 1)
    values = {f"metric {n}": n / 1000 for n in range(60)}
    world.client.log_batch(run, metrics=[Metric(key, value, 5, 0) for key, value in values.items()])
    row = reader.find_version(name, 1)
    assert row is not None
    faulty.delay = 0.18
    assert {p.metric: p.value for p in reader.evidence([row], {})[name, 1]} == values
    assert 2 <= faulty.peak <= AT_ONCE


def test_a_comparison_of_one_metric_reads_that_metric_only(faulty: Proxy, mlflow_url: str) -> None:
    world, reader = RealWorld(mlflow_url), gateway(faulty.url, timeout=10)
    name = f"compared {uuid.uuid4().hex[:8]}"
    for _ in range(2):
        world.add_version(name, {f"metric {n}": n / 1000 for n in range(20)})
    compared = Comparison(reader, stage_rules([], []), now_ms).of(name, "1", "2", Requirements(), ["metric 7"])
    assert [(row["metric"], row["baseline"]) for row in compared["metrics"]] == [("metric 7", 0.007)]
    assert faulty.count("metrics/get-history") == 1


def test_a_history_that_is_longer_than_an_answer_is_read_to_its_end_with_time_for_each_page(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, reader = RealWorld(mlflow_url), gateway(faulty.url, timeout=1, retries=0)
    name = f"of a long history {uuid.uuid4().hex[:8]}"
    world.add_version(name)
    times = range(1, 201)
    world.client.log_batch(world.run_of(name, 1), metrics=[Metric("accuracy", 0.5, at, 0) for at in times])
    row = reader.find_version(name, 1)
    assert row is not None
    monkeypatch.setattr(metric_points, "_POINTS_A_CALL", 50)
    asked = faulty.asked

    def by_length(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        status, content, content_type = asked(request, body)
        # A hundred points take longer than a call may.
        faulty.closing.wait(0.016 * content.count(b'"timestamp"'))
        return status, content, content_type

    monkeypatch.setattr(faulty, "asked", by_length)
    assert sorted(point.time for point in reader.evidence([row], {})[name, 1]) == list(times)


def test_where_a_proxy_lets_only_the_documented_api_through_histories_are_read_all_the_same(
    faulty: Proxy, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, reader = RealWorld(mlflow_url), gateway(faulty.url, timeout=60)
    name = f"behind a strict proxy {uuid.uuid4().hex[:8]}"
    world.add_version(name, {"accuracy": 0.5, "broken": None})
    row = reader.find_version(name, 1)
    assert row is not None
    expected = {("accuracy", 0.5), ("broken", None)}
    assert {(p.metric, p.value) for p in reader.evidence([row], {})[name, 1]} == expected
    forward = faulty.forward

    def only_api(request: Any, body: bytes) -> None:
        if request.path.startswith("/api/"):
            forward(request, body)
        else:
            faulty.answer(request, 404, b"<html>Not found</html>", "text/html")

    monkeypatch.setattr(faulty, "forward", only_api)
    for _ in range(2):
        assert {(p.metric, p.value) for p in reader.evidence([row], {})[name, 1]} == expected
    assert sum("/ajax-api/" in path for path in faulty.paths) <= 2 + 2


class OldServer(Proxy):
    """Answers as MLflow 2.20 does: it knows no prompts, no lists of names, no logged models and no server-info."""

    def misbehave(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path = request.path
        if "is_prompt" in path:
            self.answer(request, 200, b"{}")
        elif "name+IN+" in path:
            text = "Only the 'run_id' attribute supports comparison with a list of quoted string values."
            refusal = {"error_code": "INVALID_PARAMETER_VALUE", "message": text}
            self.answer(request, 400, json.dumps(refusal).encode())
        elif "/logged-models/" in path or "/server-info" in path:
            self.answer(request, 404, b"<!doctype html><title>404 Not Found</title>", "text/html")
        elif path == "/version":
            self.answer(request, 200, b"2.20.4", "text/plain")
        else:
            super().misbehave(request, body)


def test_an_old_server_is_read_whole_and_says_what_it_lacks(mlflow_url: str) -> None:
    world, names = RealWorld(mlflow_url), [f"old-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        world.add_version(name, {"accuracy": 0.9})
        world.set_alias(name, "champion", 1)
    with closing(OldServer(mlflow_url)) as old:
        reader = gateway(old.url, timeout=60)
        listed = {model.name: model.aliases for model in reader.registered_models()}
        assert all(listed[name] == {"champion": 1} for name in names)
        # Where it refuses the list once, each name is asked for by itself.
        for _ in range(2):
            readings = reader.read_models(names, ["0"])
            assert [len(readings[name].versions or ()) for name in names] == [1, 1]
        assert old.count("registered-models/search") == 1 + (1 + 2) + 2
        assert reader.server() == MlflowServer("2.20.4")
        assert reader.server().lacks() == ["logged models", "webhooks", "workspaces"]


class KnowingNothing(Proxy):
    """Answers to everything that it does not exist, as a server that is set up wrongly may."""

    def misbehave(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.answer(request, 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}')


def test_a_server_that_knows_nothing_at_all_is_no_missing_workspace(mlflow_url: str) -> None:
    with closing(KnowingNothing(mlflow_url)) as server, pytest.raises(MlflowUnavailable, match="every MLflow has"):
        gateway(server.url, timeout=60).read_inventory()


class Denying(Proxy):
    """Answers as MLflow's basic auth does to a user who may not read the experiment of the monitor runs."""

    def misbehave(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if "/experiments/get-by-name" in request.path:
            self.answer(request, 403, b"Permission denied", "text/plain")
        else:
            super().misbehave(request, body)


def test_lists_do_not_fail_where_the_registrations_may_not_be_read_and_writing_says_what_to_do(mlflow_url: str) -> None:
    world, name = RealWorld(mlflow_url), f"denied-{uuid.uuid4().hex[:8]}"
    world.add_version(name)
    with closing(Denying(mlflow_url)) as denying:
        reader = gateway(denying.url, timeout=60)
        assert (reader.open_registrations(), reader.monitor_runs(None)) == (None, None)
        assert (reader.may_read_registrations(), gateway(mlflow_url).may_read_registrations()) == (False, True)
        assert reader.monitor_history(name, None) == []
        with pytest.raises(MlflowDenied, match="Give its user access"):
            reader.open_monitor_run(Registration(name, 1, "classifier", "ada", now_ms(), "", 0))
