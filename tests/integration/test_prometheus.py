"""Prometheus' own tools on what is shipped for it, and on a running tower of two workers."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.documents import BY_NAME
from tests.exposition import Figures, figure, figures
from tests.servers import ROOT, Tower, tower, until

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "control-tower.json"
# What a histogram's name may end with.
_PARTS = re.compile(r"_(bucket|count|sum)\Z")


@pytest.fixture(scope="session", autouse=True)
def _promtool() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "need.sh", "promtool", "prometheus"], check=False, capture_output=True, text=True
    )
    assert shutil.which("promtool"), done.stderr


def promtool(*arguments: str | Path, given: bytes | None = None) -> None:
    command = [str(shutil.which("promtool")), *arguments]
    done = subprocess.run(command, check=False, input=given, capture_output=True, cwd=RULES.parent)
    assert (done.returncode, done.stderr) == (0, b""), (done.stdout + done.stderr).decode()


def scraped(running: Tower) -> Figures:
    answer = running.get("/metrics")
    assert answer.status_code == 200, answer.text
    return figures(answer.content)


def requests_to(found: Figures, route: str, status: str = "2xx", method: str = "GET") -> float:
    return found.get(
        (
            "control_tower_request_duration_seconds_count",
            (("method", method), ("route", route), ("status", status)),
        ),
        0,
    )


def test_the_rules_are_valid_and_fire_when_they_should_and_only_then() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES.with_name("alerts.test.yml"))


def test_every_rule_is_tested_and_says_how_bad_it_is_and_what_to_do() -> None:
    text = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    tested = RULES.with_name("alerts.test.yml").read_text()
    for alert, rule in zip(alerts, text.split("- alert: ")[1:], strict=True):
        assert re.search(rf"alertname: {alert}\n\s+exp_alerts:", tested), alert
        for part in ("for: ", "severity: ", "summary: ", "description: "):
            assert part in rule, (alert, part)


def test_the_example_of_a_configuration_is_valid(tmp_path: Path) -> None:
    for file in RULES.parent.glob("*.yml"):
        text = file.read_text().replace("/etc/prometheus/", f"{tmp_path}/")
        (tmp_path / file.name).write_text(text)
    (tmp_path / "control-tower.token").write_text("ct_token\n")
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_what_a_running_tower_tells_is_as_prometheus_wants_it(shared_tower: Tower) -> None:
    shared_tower.get("/nowhere")
    promtool("check", "metrics", given=shared_tower.get("/metrics").content)


def test_every_metric_of_the_rules_and_of_the_dashboard_is_told(shared_tower: Tower) -> None:
    dashboard = DASHBOARD.read_text()
    wanted = set(re.findall(r"\bcontrol_tower_\w+", RULES.read_text() + dashboard))
    told = set(re.findall(r"^# TYPE (\w+)", shared_tower.get("/metrics").text, re.MULTILINE))
    # These come with Redis alone. A unit test holds their table to the code.
    told |= {cells[0].strip("`") for heading, cells in BY_NAME["hosts.md"].tables if heading == "metric"}
    assert len(wanted) > 10
    assert {name for name in wanted if _PARTS.sub("", name) not in told} == set()
    panels = [panel for panel in json.loads(dashboard)["panels"] if panel["type"] != "row"]
    assert all(panel["targets"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_requests_of_all_workers_are_counted_together_and_none_is_lost(shared_tower: Tower) -> None:
    before = requests_to(scraped(shared_tower), "/model/{model_name}/versions")
    workers = set()
    for _ in range(60):
        answer = shared_tower.get("/model/seed-00001/versions")
        workers.add(answer.status_code)
    assert workers == {200}
    for _ in range(8):
        # Whichever worker answers.
        assert requests_to(scraped(shared_tower), "/model/{model_name}/versions") == before + 60


def test_what_the_agent_does_is_counted_too(shared_tower: Tower) -> None:
    before = figure(scraped(shared_tower), "mlflow_requests_total")
    shared_tower.get("/runs/0?limit=5")
    found = scraped(shared_tower)
    assert figure(found, "mlflow_requests_total") > before
    assert figure(found, "refresh_duration_seconds_count", kind="sweep") >= 1
    assert figure(found, "mlflow_up") == 1
    assert figure(found, "model_versions", stage="Production") > 0


def test_a_killed_worker_and_a_killed_agent_take_no_count_with_them_and_leave_no_file(
    tmp_path: Path, seeded_url: str
) -> None:
    counted = tmp_path / "counted"
    with tower(tmp_path, seeded_url, workers=2, PROMETHEUS_MULTIPROC_DIR=str(counted)) as running:
        for _ in range(20):
            running.get("/models/staging")
        before = scraped(running)
        master = running.process.pid
        for _ in range(3):
            for process in children(master):
                os.kill(process, signal.SIGKILL)
            until(lambda: "control_tower_mlflow_up 1" in metrics_of(running), what="the tower after kill -9")
            until(lambda: running.get("/runs/0?limit=5").status_code == 200, what="the agent")
        after = until(lambda: grown(running, before), what="the counts of those that were killed")
        assert requests_to(after, "/models/staging") == 20
        # Those of nobody, the master, two workers and the agent: agents that lost their keeper end within 10 s.
        until(lambda: scraped(running) and len(list(counted.glob("counter_*.db"))) <= 5, what="files folded")
    assert counted.is_dir()


def test_the_directory_of_the_counts_goes_with_the_service(tmp_path: Path, seeded_url: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with tower(tmp_path, seeded_url, workers=2, TMPDIR=str(temporary)) as running:
        assert scraped(running)
        assert len(list(temporary.glob("control-tower-*/histogram_*.db"))) >= 3
    assert list(temporary.glob("control-tower-*/*.db")) == []


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def metrics_of(running: Tower) -> str:
    try:
        return running.get("/metrics").text
    except OSError:
        return ""


def grown(running: Tower, before: Figures) -> Figures | None:
    found = scraped(running)
    return found if figure(found, "mlflow_requests_total") > figure(before, "mlflow_requests_total") else None
