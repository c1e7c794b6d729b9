"""The whole service over every kind of MLflow that teams run. docs/mlflow.md has the table of what was run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.kinds.servers import ADMIN, OWN, Kind, running
from tests.promoting import team_of
from tests.servers import ROOT, Tower, clean_environment, tower, until

OF_MLFLOW_2 = ("logged models", "webhooks", "workspaces")
KINDS = [
    Kind("MLflow 2.9.2", "2.9.2", lacks=OF_MLFLOW_2),
    Kind("MLflow 2.20.4", "2.20.4", lacks=OF_MLFLOW_2),
    Kind("MLflow 2.22.1", "2.22.1", lacks=OF_MLFLOW_2),
    Kind("MLflow 3.2.0", "3.2.0", lacks=OF_MLFLOW_2[1:]),
    Kind(f"MLflow {OWN}"),
    Kind("PostgreSQL", database="postgresql"),
    Kind("MariaDB", database="mariadb"),
    Kind("sub-path behind nginx", prefix="/mlflow", proxied=True),
    Kind("basic auth, as admin", auth=True),
]
PAGES = ["", "monitored", "experiments", "findings", "system", "model/m"]


class Place:
    """A running MLflow with a registered model, and a tower over it."""

    def __init__(self, kind: Kind, running_tower: Tower, url: str, client: MlflowClient) -> None:
        self.kind = kind
        self.tower = running_tower
        self.url = url
        self.client = client

    def json(self, path: str) -> Any:
        response = self.tower.get(path)
        assert response.status_code == 200, f"{path}: {response.text}"
        return response.json()

    def row(self, version: int) -> dict[str, Any]:
        return next(row for row in self.json("/models/all") if (row["name"], row["version"]) == ("m", str(version)))


def seeded(url: str) -> MlflowClient:
    """A client that has registered a model of two versions with a run each."""
    client = MlflowClient(url, url)
    client.create_registered_model("m")
    for value in (0.9, 0.8):
        _add_version(client, value)
    client.set_registered_model_alias("m", "champion", "1")
    return client


def _add_version(client: MlflowClient, accuracy: float) -> None:
    run = client.create_run("0").info.run_id
    client.log_batch(
        run, [Metric("accuracy", accuracy + step / 1000, 1_790_000_000_000 + step, step) for step in range(30)]
    )
    client.update_run(run, "FINISHED")
    client.create_model_version("m", "mem:/model", run_id=run)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp("kind")
    credentials = dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), ADMIN, strict=True))
    with pytest.MonkeyPatch.context() as patch, running(kind, folder) as url:
        for name, value in credentials.items() if kind.auth else ():
            patch.setenv(name, value)
        client = seeded(url)
        with tower(folder / "tower", url, workers=2, **(credentials if kind.auth else {})) as running_tower:
            yield Place(kind, running_tower, url, client)


def test_lists_have_every_version_with_its_alias_and_metrics(place: Place) -> None:
    first, second = place.row(1), place.row(2)
    assert (first["aliases"], second["aliases"]) == (["champion"], [])
    assert first["metrics"]["accuracy"] == pytest.approx(0.929)
    assert place.json("/experiments")
    assert place.json("/runs/0")


def test_the_server_and_what_it_lacks_are_reported(place: Place) -> None:
    until(lambda: place.json("/cache/info")["mlflow_server"]["version"])
    server = place.json("/cache/info")["mlflow_server"]
    assert server["version"] == place.kind.version
    assert server["lacks"] == [*place.kind.lacks]


def test_changes_arrive_by_polls_and_refreshes(place: Place) -> None:
    _add_version(place.client, 0.7)
    place.client.set_registered_model_alias("m", "challenger", "2")
    until(lambda: place.json("/model/m/versions")[-1] and len(place.json("/model/m/versions")) == 3)
    until(lambda: place.row(2)["aliases"] == ["challenger"])
    assert place.tower.post("/cache/refresh").status_code == 200


def test_a_version_is_monitored_from_the_registration_to_the_removal(place: Place) -> None:
    settings = {"limits": {"accuracy": {"min": 0.8}}}
    body = {"model_type": "classifier", "settings": settings}
    made = place.tower.post("/models/m/2/monitor", json=body)
    assert made.status_code == 201, made.text
    assert place.tower.post("/models/m/2/monitor", json=body).status_code == 400
    for _ in range(3):
        observed = place.tower.post("/models/m/2/observations", json={"metrics": {"accuracy": 0.5}})
        assert observed.status_code == 201, observed.text
    until(lambda: place.json("/models/m/2/monitor")["verdict"] == "drifting")
    assert "0.5" in place.tower.get("/models/m/2/series").text
    assert "0.5" in place.tower.get("/model/m/drift").text
    events = [event["event"] for event in place.json("/monitoring/history")]
    assert {"registered", "verdict"} <= set(events), events
    removed = place.tower.delete("/models/m/2/monitor")
    assert removed.status_code == 200, removed.text
    assert not place.json("/models/m/2/monitor/status")["is_monitored"]


def test_versions_are_compared_also_by_the_gate(place: Place) -> None:
    compared = place.tower.get("/model/m/compare?baseline=champion&candidate=2")
    assert compared.status_code == 200, compared.text
    folder = place.tower.log.parent
    auth = dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), ADMIN, strict=True))
    env = clean_environment(
        MLFLOW_TRACKING_URI=place.url, CACHE_DIRECTORY=str(folder / "gate"), **(auth if place.kind.auth else {})
    )
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "gate", "m"]
    command += ["--baseline", "champion", "--candidate", "2"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 1, done.stderr
    assert "accuracy" in done.stdout


def test_pages_findings_and_health_answer(place: Place) -> None:
    for page in PAGES:
        assert place.tower.get(f"/ui/{page}").status_code == 200, page
    for path in ("/models/findings", "/monitoring", "/monitoring/history", "/dashboard/summary", "/debug/monitored"):
        place.json(path)
    assert place.json("/health")["status"] == "healthy"
    text = place.tower.text()
    assert "Traceback" not in text
    assert " ERROR " not in text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An MLflow with passwords: Ada may read the model `m`, Bob nothing."""
    folder = tmp_path_factory.mktemp("guarded")
    with pytest.MonkeyPatch.context() as patch, running(Kind("basic auth", auth=True), folder) as url:
        patch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
        client = seeded(url)
        client.create_registered_model("theirs")
        client.create_experiment("control-tower")
        for user in ("ada", "bob"):
            made = requests.post(
                f"{url}/api/2.0/mlflow/users/create",
                json={"username": user, "password": ADMIN[1]},
                auth=ADMIN,
                timeout=60,
            )
            assert made.status_code == 200, made.text
        script = (
            "from mlflow.server import get_app_client\n"
            f"get_app_client('basic-auth', tracking_uri={url!r}).grant_user_permission("
            "username='ada', resource_type='registered_model', resource_id='m', permission='READ')"
        )
        python = ROOT / "var" / "kinds" / OWN / "bin" / "python"
        subprocess.run([python, "-c", script], check=True)
        yield url, folder


def test_a_user_who_may_read_one_model_sees_that_one(guarded: tuple[str, Path]) -> None:
    url, folder = guarded
    who = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
    with tower(folder / "ada", url, workers=2, **who) as ada:
        assert {row["name"] for row in ada.get("/models/all").json()} == {"m"}
        paths = [
            "/models/findings",
            "/monitoring",
            "/monitoring/history",
            "/model/m/drift",
        ]
        for path in (*paths, "/model/m/compare?baseline=1&candidate=2", "/models/m/1/monitor/status"):
            answer = ada.get(path)
            assert answer.status_code == 200, f"{path}: {answer.text}"
        refused = ada.register("m", 1)
        assert (refused.status_code, "permission" in refused.text) == (500, True), refused.text
        assert "Traceback" not in ada.text()


def test_a_user_who_may_read_nothing_is_told_so(guarded: tuple[str, Path]) -> None:
    url, folder = guarded
    who = {"MLFLOW_TRACKING_USERNAME": "bob", "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
    with tower(folder / "bob", url, workers=2, ready=False, **who) as bob:
        error = until(lambda: bob.get("/cache/info").json()["refresh"]["last_error"])
        assert "Give it the right to read them" in error, error
        assert "Traceback" not in bob.text()


def test_where_mlflow_lets_nobody_else_write_only_the_service_moves_an_alias(tmp_path: Path) -> None:
    with running(Kind("promotion", auth=True, default_right="READ"), tmp_path) as url:

        def ask(who: str, path: str, body: dict[str, str]) -> requests.Response:
            return requests.post(f"{url}/api/{path}", json=body, auth=(who, ADMIN[1]), timeout=60)

        def done(who: str, path: str, body: dict[str, str]) -> None:
            answer = ask(who, path, body)
            assert answer.status_code == 200, answer.text

        for user in ("ada", "control-tower"):
            done(ADMIN[0], "2.0/mlflow/users/create", {"username": user, "password": ADMIN[1]})
        done("ada", "2.0/mlflow/registered-models/create", {"name": "m"})
        for _ in range(2):
            done("ada", "2.0/mlflow/model-versions/create", {"name": "m", "source": "mem:/x"})
        alias = {"name": "m", "alias": "champion", "version": "1"}
        done("ada", "2.0/mlflow/registered-models/alias", alias)
        # As docs/promotion.md says.
        resource = {"resource_type": "registered_model", "resource_id": "m"}
        granted = {"username": "control-tower", "permission": "EDIT", **resource}
        done(ADMIN[0], "3.0/mlflow/users/permissions/grant", granted)
        done(ADMIN[0], "3.0/mlflow/users/permissions/revoke", {"username": "ada", **resource})
        for path, body in (
            ("registered-models/alias", {**alias, "version": "2"}),
            ("model-versions/transition-stage", {"name": "m", "version": "2", "stage": "Production"}),
        ):
            assert ask("ada", f"2.0/mlflow/{path}", body).status_code == 403
        who = {"MLFLOW_TRACKING_USERNAME": "control-tower", "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
        with team_of(tmp_path / "team", url, **who) as team:
            for version in (2, 1):
                promotion = team.propose("m", version)
                assert team.approve(promotion).json()["state"] == "done"
                in_production = team.ask("ada", "GET", "/models/production").json()
                assert [row["version"] for row in in_production] == [str(version)]


def test_a_workspace_is_shown_and_written_to_by_itself_and_the_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Kind("workspaces", workspaces=True), tmp_path) as url:
        for name in ("fraud", "sales"):
            MlflowClient(url, url).create_workspace(name)
        for name in ("fraud", "sales"):
            monkeypatch.setenv("MLFLOW_WORKSPACE", name)
            client = MlflowClient(url, url)
            client.create_registered_model(f"of {name}")
            client.create_model_version(f"of {name}", "mem:/model")
        monkeypatch.delenv("MLFLOW_WORKSPACE")
        with (
            tower(tmp_path / "fraud", url, workers=2, MLFLOW_WORKSPACE="fraud") as fraud,
            tower(tmp_path / "default", url, workers=2) as default,
        ):
            assert [row["name"] for row in fraud.get("/models/all").json()] == ["of fraud"]
            assert default.get("/models/all").json() == []
            assert [place.get("/config").json()["mlflow"]["workspace"] for place in (fraud, default)] == ["fraud", None]
            until(lambda: others_of(fraud) == {"default", "sales"} and others_of(default) == {"fraud", "sales"})
            assert fraud.register("of fraud").status_code == 201
            sent = fraud.post("/models/of fraud/1/observations", json={"metrics": {"accuracy": 0.9}})
            assert sent.status_code == 201, sent.text
            until(lambda: fraud.get("/models/of fraud/1/monitor").json()["checked_at"])
            assert default.get("/models/monitored").json() == []
            assert default.register("of fraud").status_code == 404


def others_of(running_tower: Tower) -> set[str]:
    return set(running_tower.get("/cache/info").json()["mlflow_server"]["other_workspaces"] or ())
