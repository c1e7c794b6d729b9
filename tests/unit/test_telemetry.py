"""What is counted and told for Prometheus, in one process and in several."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import MlflowMissing, MlflowUnavailable
from app.domain.monitoring.checks import Check
from app.domain.monitoring.monitored import Monitored
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration
from app.domain.times import rfc3339
from app.services.host.file_cache import FileCache
from app.services.mirror.journal import Journal, JournalWriter
from app.services.mlflow_gateway.calls import Calls
from app.services.telemetry.exposition import Exposition
from app.services.telemetry.files import SIZES
from app.services.telemetry.instruments import Instruments
from app.services.telemetry.state import State
from tests.exposition import Figures, figure, figures
from tests.servers import ROOT, clean_environment

NOW = 1_700_000_000_000
HOSTILE = ['"} 1\nup 0', "back\\slash", "line\nbreak", "\r", "🧬 Modell ü", "\ud83e", "{}=,#", "", " ", "x" * 5000]


def alone() -> Instruments:
    return Instruments(None, None)


class Known:
    """What a worker knows."""

    cached = True

    def __init__(self, registrations: list[Registration], checks: Mapping[str, Check], fleet: Fleet | None = None):
        self._registrations = registrations
        self._checks = checks
        self._fleet = fleet
        self.last_sign: tuple[int, bool] | None = None

    def peek(self) -> Fleet | None:
        return self._fleet

    def known(self) -> Monitored:
        return Monitored({registration.key: registration for registration in self._registrations})

    def all(self) -> Mapping[str, Check]:
        return self._checks

    def seen(self) -> tuple[int, bool] | None:
        return self.last_sign


def told(known: Known, directory: Path) -> Figures:
    journal = Journal(FileCache(directory), lambda: NOW, 300)
    return figures(Exposition(State(known, known, known, journal, known, lambda: NOW, 1800)).text())


def registered(name: str = "m", version: int = 1, model_type: str = "classifier") -> Registration:
    return Registration(name, version, model_type, "ada", NOW, f"run-{name}-{version}", NOW)


def checked(registration: Registration, verdict: str, **metrics: Any) -> dict[str, Check]:
    return {registration.monitor_run_id: Check(registration.monitor_run_id, verdict, NOW, NOW, [], metrics)}


def test_a_version_has_one_verdict_its_last_values_and_their_ages(tmp_path: Path) -> None:
    one = registered()
    metric = {"verdict": "drifting", "last": 0.75, "last_at": rfc3339(NOW - 90_000)}
    found = told(Known([one], checked(one, "drifting", accuracy=metric)), tmp_path)
    version = {"name": "m", "version": "1"}
    for verdict in ("healthy", "degraded", "drifting", "insufficient_data"):
        expected = float(verdict == "drifting")
        assert figure(found, "model_verdict", **version, model_type="classifier", verdict=verdict) == expected
    assert figure(found, "model_metric", **version, metric="accuracy") == 0.75
    assert figure(found, "model_last_point_age_seconds", **version, metric="accuracy") == 90
    assert figure(found, "monitored_versions") == 1


@pytest.mark.parametrize(("ahead", "age"), [(0, 0.0), (1, 0.0), (300_000, 0.0), (300_001, None), (10**12, None)])
def test_no_age_is_negative_and_a_time_of_the_future_has_none(tmp_path: Path, ahead: int, age: float | None) -> None:
    one = registered()
    metric = {"verdict": "healthy", "last": 0.75, "last_at": rfc3339(NOW + ahead)}
    found = told(Known([one], checked(one, "healthy", accuracy=metric)), tmp_path)
    ages = [value for key, value in found.items() if key[0] == "control_tower_model_last_point_age_seconds"]
    assert ages == ([] if age is None else [age])


def test_a_version_that_was_not_checked_yet_has_insufficient_data(tmp_path: Path) -> None:
    found = told(Known([registered()], {}), tmp_path)
    labels = {"name": "m", "version": "1", "model_type": "classifier"}
    assert figure(found, "model_verdict", **labels, verdict="insufficient_data") == 1


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_value_that_is_no_number_is_left_out(tmp_path: Path, value: float | None) -> None:
    one = registered()
    found = told(Known([one], checked(one, "healthy", loss={"last": value, "last_at": None})), tmp_path)
    assert not [key for key in found if key[0].startswith("control_tower_model_") and ("metric", "loss") in key[1]]


def test_no_name_breaks_what_is_told(tmp_path: Path) -> None:
    versions = [replace(registered(name), monitor_run_id=str(n)) for n, name in enumerate(HOSTILE)]
    checks: dict[str, Check] = {}
    for one in versions:
        checks |= checked(one, "healthy", **{name: {"last": 1.0, "last_at": rfc3339(NOW)} for name in HOSTILE})
    found = told(Known(versions, checks), tmp_path)
    shown = [name.encode("utf-8", "backslashreplace").decode() for name in HOSTILE]
    for name in shown:
        for metric in shown:
            assert figure(found, "model_metric", name=name, version="1", metric=metric) == 1
    assert not [key for key in found if not key[0].startswith("control_tower_")]


def test_whether_mlflow_answers_is_told_by_the_newest_sign_there_is(tmp_path: Path) -> None:
    known = Known([], {})
    assert ("control_tower_mlflow_up", ()) not in told(known, tmp_path)
    known.last_sign = NOW - 60_000, False
    assert figure(told(known, tmp_path), "mlflow_up") == 0
    with JournalWriter(FileCache(tmp_path), lambda: NOW - 1000, 300).entry("changes"):
        pass
    assert figure(told(known, tmp_path), "mlflow_up") == 1
    known.last_sign = NOW, False
    assert figure(told(known, tmp_path), "mlflow_up") == 0


def test_what_a_client_makes_up_gets_no_series_of_its_own() -> None:
    counted = alone()
    for number in range(2000):
        counted.request_ended(None, "GET", 404, 0.001)
        counted.request_ended(None, f"METHOD{number}", 404, 0.001)
    counted.request_ended("/model/<model_name>/drift", "GET", 200, 0.2)
    counted.request_ended("/static/<path:filename>", "GET", 304, 0.2)
    found = figures(Exposition(counted).text())
    counts = {key[1]: value for key, value in found.items() if key[0].endswith("request_duration_seconds_count")}
    assert counts == {
        (("method", "GET"), ("route", "unmatched"), ("status", "4xx")): 2000,
        (("method", "other"), ("route", "unmatched"), ("status", "4xx")): 2000,
        (("method", "GET"), ("route", "/model/{model_name}/drift"), ("status", "2xx")): 1,
        (("method", "GET"), ("route", "/static/{filename}"), ("status", "3xx")): 1,
    }


def test_the_number_of_series_is_bounded_and_nothing_goes_uncounted() -> None:
    counted = alone()
    for number in range(1000):
        counted.request_ended(f"/route{number}", "GET", 200, 0.001)
    found = figures(Exposition(counted).text())
    counts = [value for key, value in found.items() if key[0].endswith("request_duration_seconds_count")]
    assert len(counts) <= 310
    assert sum(counts) == 1000


def test_a_request_to_mlflow_fails_where_mlflow_gives_no_answer_not_where_it_says_no() -> None:
    counted = alone()
    calls = Calls(5, counted)

    def missing() -> None:
        raise MlflowMissing("no such thing")

    def broken() -> None:
        raise ConnectionError("refused")

    calls.call(int)
    with pytest.raises(MlflowMissing):
        calls.call(missing)
    with pytest.raises(MlflowUnavailable):
        calls.call(broken)
    found = figures(Exposition(counted).text())
    assert (figure(found, "mlflow_requests_total"), figure(found, "mlflow_failures_total")) == (3, 1)


def test_refreshes_are_timed_by_kind_and_counted_where_they_fail(tmp_path: Path) -> None:
    counted = alone()
    journal = JournalWriter(FileCache(tmp_path), lambda: NOW, 300, counted)
    with journal.entry("sweep"):
        pass
    with pytest.raises(MlflowUnavailable), journal.entry("push"):
        raise MlflowUnavailable("gone")
    found = figures(Exposition(counted).text())
    for kind in ("sweep", "push"):
        assert figure(found, "refresh_duration_seconds_count", kind=kind) == 1
    assert figure(found, "refresh_failures_total", kind="push") == 1
    assert figure(found, "refresh_failures_total", kind="sweep") == 0


# What several processes do, each with its own reading of the environment.
_COUNTS = """
import resource, sys
if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from app.wiring.world import instruments
counted = instruments()
counted.begin()
for _ in range(10):
    counted.mlflow_called(failed=False)
    counted.request_ended("/models", "GET", 200, 0.002)
"""
_FOLDS = "from app.wiring.world import instruments\ninstruments().fold()\n"
_TELLS = """
from app.services.telemetry.exposition import Exposition
from app.wiring.world import instruments
print(Exposition(instruments()).text().decode())
"""


def another_process(place: Path, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        cwd=ROOT,
        env=clean_environment(PROMETHEUS_MULTIPROC_DIR=str(place)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_what_processes_that_have_ended_counted_is_kept_in_ever_the_same_files(tmp_path: Path) -> None:
    for _ in range(3):
        another_process(tmp_path, _COUNTS)
    assert len(list(tmp_path.glob("*.db"))) == 3 * len(SIZES)
    for _ in range(2):
        another_process(tmp_path, _FOLDS)
        found = figures(another_process(tmp_path, _TELLS).encode())
        assert figure(found, "mlflow_requests_total") == 30
        labels = {"route": "/models", "method": "GET", "status": "2xx"}
        assert figure(found, "request_duration_seconds_count", **labels) == 30
        assert figure(found, "request_duration_seconds_bucket", **labels, le="0.0025") == 30
        # The folded ones, and those of the process that asked.
        assert len(list(tmp_path.glob("*.db"))) == 2 * len(SIZES)


def test_the_files_of_a_process_that_runs_are_left_to_it(tmp_path: Path) -> None:
    own = tmp_path / f"counter_{os.getpid()}.db"
    own.write_bytes(bytes(SIZES["counter"]))
    another_process(tmp_path, _COUNTS)
    another_process(tmp_path, _FOLDS)
    assert own.exists()


def test_without_room_for_its_files_a_process_goes_on_and_says_so(tmp_path: Path) -> None:
    said = another_process(tmp_path, _COUNTS, "4096")
    assert "no room" in said
    assert list(tmp_path.glob("*")) == []


@pytest.mark.parametrize(
    "damage", ["shutil.rmtree(place)", "[os.truncate(file, 0) for file in place.glob('*.db')]"], ids=["removed", "cut"]
)
def test_a_process_whose_files_were_removed_or_cut_begins_anew(tmp_path: Path, damage: str) -> None:
    place = tmp_path / "counts"
    place.mkdir()
    again = "counted.look()\nfor _ in range(5): counted.request_ended('/models', 'GET', 200, 0.002)\n"
    harm = f"import os, shutil, pathlib\nplace = pathlib.Path({str(place)!r})\n{damage}\n"
    tells = "from app.services.telemetry.exposition import Exposition\nprint(Exposition(counted).text().decode())"
    told = another_process(place, _COUNTS + harm + again + tells)
    text, said, _ = told.partition("The files in which this process counts for Prometheus were removed")
    assert said
    found = figures(text.encode())
    assert figure(found, "request_duration_seconds_count", route="/models", method="GET", status="2xx") == 5


def test_a_file_that_was_cut_fails_no_scrape_and_no_folding(tmp_path: Path) -> None:
    another_process(tmp_path, _COUNTS)
    for file in tmp_path.glob("histogram_*.db"):
        os.truncate(file, 0)
    # What is logged follows what is told.
    text, said, _ = another_process(tmp_path, _TELLS).partition(f"{tmp_path}/")
    assert said
    assert figure(figures(text.encode()), "mlflow_requests_total") == 10
    assert "Traceback" not in another_process(tmp_path, _FOLDS)


def test_all_that_a_process_may_ever_count_fits_into_the_files_that_it_began_with(tmp_path: Path) -> None:
    route = "/models/<model_name>/<model_version>/monitor/something-long/"
    another_process(
        tmp_path, _COUNTS + f"for n in range(999): counted.request_ended({route!r} + str(n), 'OPTIONS', 200, 1)"
    )
    for kind, size in SIZES.items():
        assert [file.stat().st_size for file in tmp_path.glob(f"{kind}_*.db")] == [size]


def test_what_counts_looks_at_the_environment_only_once_the_service_is_made(tmp_path: Path) -> None:
    code = "import sys, app, app.starting, app.agent; print('prometheus_client' in sys.modules)"
    assert another_process(tmp_path, code).strip() == "False"
