"""Observations with an `id` count once, however often and wherever they arrive; too many at once get a 503."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.monitoring.sent_once import PAGES, SentOnce, sent_once
from app.domain.times import rfc3339
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway

DATED = {"metrics": {"accuracy": 0.9}, "timestamp": rfc3339(1_700_000_000_000)}
UNDATED = {"observations": [{"metrics": {"accuracy": 0.9}}, {"metrics": {"accuracy": 0.8}}]}


@pytest.fixture
def host(tmp_path: Path, gateway: MemoryGateway) -> Service:
    gateway.world.add_version("m")
    host = Service(tmp_path / "a", gateway)
    assert host.register("m").status_code == 201
    return host


def points(gateway: MemoryGateway) -> list[tuple[str, float | None]]:
    return [(row.metric, row.value) for rows in gateway.world.monitor_points.values() for row in rows]


@pytest.mark.parametrize("body", [DATED, UNDATED])
def test_what_is_sent_again_gets_the_same_answer_and_counts_once_on_any_host(
    tmp_path: Path, host: Service, gateway: MemoryGateway, body: dict[str, Any]
) -> None:
    first = host.observe("m", id="batch 1", **body)
    written = points(gateway)
    assert (first.status_code, len(written)) == (201, first.json["accepted"])
    for directory in ("a", "b"):
        again = Service(tmp_path / directory, gateway).observe("m", id="batch 1", **body)
        assert (again.status_code, again.json, points(gateway)) == (201, first.json, written)
    assert host.observe("m", id="batch 2", **UNDATED).status_code == 201
    assert len(points(gateway)) == len(written) + 2


def test_what_mlflow_took_before_it_failed_counts_once(host: Service, gateway: MemoryGateway) -> None:
    gateway.refusals["is_open"] = {None: MlflowUnavailable("MLflow is down.")}
    assert host.observe("m", id="batch 1", **UNDATED).status_code == 500
    assert len(points(gateway)) == 2
    gateway.refusals.clear()
    assert host.observe("m", id="batch 1", **UNDATED).status_code == 201
    assert len(points(gateway)) == 2


def test_an_id_with_other_observations_is_a_conflict_and_nothing_is_written(
    host: Service, gateway: MemoryGateway
) -> None:
    host.observe("m", id="batch 1", **DATED)
    for other in ({"metrics": {"accuracy": 0.8}}, {**DATED, "timestamp": rfc3339(1_700_000_001_000)}, UNDATED):
        refused = host.observe("m", id="batch 1", **other)
        assert (refused.status_code, "with other observations" in refused.json["detail"]) == (409, True)
    assert points(gateway) == [("accuracy", 0.9)]


def test_a_registration_keeps_its_latest_thousand_ids_and_forgets_the_oldest(
    host: Service, gateway: MemoryGateway
) -> None:
    run, other = host.verdict("m")["monitor_run_id"], {"metrics": {"accuracy": 0.8}}
    gateway.keep_sent_ids(run, _pages(1001), 0)
    assert host.observe("m", id="batch 1", **other).status_code == 409
    gateway.keep_sent_ids(run, _pages(3000), 0)
    assert host.observe("m", id="batch 2999", **other).status_code == 409
    assert host.observe("m", id="batch 1", **other).status_code == 201
    assert all(len(text) <= 8000 for pages in gateway.world.sent.values() for text in pages.values())


def _pages(count: int) -> dict[int, list[SentOnce]]:
    """What so many requests leave at a monitor run."""
    sent = [sent_once(f"batch {number}", [], 1_700_000_000_000 + number) for number in range(count)]
    return {page: [row for row in sent if row.page == page] for page in range(PAGES)}


@pytest.mark.parametrize("bad", ["", "x" * 201, "a\nb", "a\x7fb", 5, None, ["a"]])
def test_an_id_that_is_no_short_printable_text_is_refused(host: Service, gateway: MemoryGateway, bad: Any) -> None:
    refused = host.observe("m", id=bad, **DATED)
    assert (refused.status_code, refused.json["detail"].startswith("id: ")) == (400, True)
    assert points(gateway) == []


def test_while_mlflows_database_is_locked_writes_get_a_503_and_reads_are_served(
    host: Service, gateway: MemoryGateway
) -> None:
    gateway.locked = True
    for answer in (
        host.observe("m", **DATED),
        host.remove("m"),
        host.patch("/models/m/1/monitor", json={"settings": {}}),
    ):
        assert (answer.status_code, int(answer.headers["Retry-After"]) >= 1) == (503, True)
    assert host.get("/models/m/1/series").status_code == 200
    gateway.locked = False
    assert host.observe("m", **DATED).status_code == 201
