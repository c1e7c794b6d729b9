"""Access keys: which role may do what, and what is told of it."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from app.access import OPEN, role_of
from app.services.host.keys import ROLES, BadKeyFile
from tests.api.conforms import document_of, template_of
from tests.api.service import Service, monitor
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]

# The contract's table, written out: what the code declares is held against it.
NEEDED = {
    "static": OPEN,
    "system.livez": OPEN,
    "system.readyz": OPEN,
    "ui.file": OPEN,
    "ui.sign_in": OPEN,
    "ui.begin_session": OPEN,
    "ui.end_session": OPEN,
    "ui.fleet": "read",
    "ui.model": "read",
    "ui.monitored": "read",
    "ui.experiments": "read",
    "ui.findings": "read",
    "ui.system": "read",
    "ui.promotions": "read",
    "system.root": "read",
    "system.health": "read",
    "system.config": "admin",
    "api-docs.openapi_json": "read",
    "api-docs.openapi_swagger_ui": "read",
    "api-docs.openapi_redoc": "read",
    "fleet.fleet": "read",
    "fleet.summary": "read",
    "fleet.fleet_models": "read",
    "history.changes": "read",
    "history.model_changes": "read",
    "history.model_state": "read",
    "history.holders": "read",
    "promotions.promotions": "read",
    "promotions.way_back": "read",
    "promotions.of_model": "read",
    "promotions.promotion": "read",
    "promotions.propose": "write",
    "promotions.end": "write",
    "promotions.approve": "approve",
    "promotions.roll_back": "approve",
    "models.production_models": "read",
    "models.production_models_detailed": "read",
    "models.staging_models": "read",
    "models.all_models": "read",
    "models.monitored_models": "read",
    "models.monitored_classifiers": "read",
    "models.monitored_regressors": "read",
    "models.registry_findings": "read",
    "models.model_versions": "read",
    "models.model_drift": "read",
    "models.compare_versions": "read",
    "monitoring.register": "write",
    "monitoring.remove": "write",
    "monitoring.status": "read",
    "monitoring.registration": "read",
    "monitoring.change": "write",
    "monitoring.preview": "read",
    "monitoring.observe": "write",
    "monitoring.withdraw": "write",
    "monitoring.observe_each": "write",
    "monitoring.series": "read",
    "monitoring.monitoring": "read",
    "monitoring.history": "read",
    "system.gate": OPEN,
    "acts.acknowledge": "write",
    "acts.take_back_acknowledgement": "write",
    "acts.mute": "write",
    "acts.unmute": "write",
    "acts.comment": "write",
    "rules.rules": "read",
    "watches.watches": "read",
    "watches.withdraw_alias": "write",
    "watches.withdraw_stage": "write",
    "rules.make": "write",
    "rules.rule": "read",
    "rules.put": "write",
    "rules.remove": "write",
    "rules.versions": "read",
    "data_drift.put_reference": "write",
    "data_drift.reference": "read",
    "data_drift.add_batch": "write",
    "data_drift.add_labels": "write",
    "data_drift.withdraw_batch": "write",
    "data_drift.data_drift": "read",
    "data_drift.model_data": "read",
    "data_drift.histogram": "read",
    "watches.watch_alias": "write",
    "watches.alias_watch": "read",
    "watches.change_alias_watch": "write",
    "watches.remove_alias_watch": "write",
    "watches.observe_alias": "write",
    "watches.watch_stage": "write",
    "watches.stage_watch": "read",
    "watches.change_stage_watch": "write",
    "watches.remove_stage_watch": "write",
    "watches.observe_stage": "write",
    "experiments.experiments": "read",
    "experiments.runs": "read",
    "cache.cache_info": "admin",
    "cache.refresh_cache": "admin",
    "cache.clear_cache": "admin",
    "dashboard.summary": "read",
    "metrics.metrics": "read",
    "debug.monitored": "admin",
}


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker with a key for each role, named by its role; its MLflow holds versions 1 to 3 of `m`."""
    folder = tmp_path_factory.mktemp("guarded")
    service = Service(folder, MemoryGateway(), api_tokens_file=folder / "keys")
    for _ in range(3):
        service.world.add_version("m")
    service.agent.coordinator.refresh()
    service.agent.recorder.tick()
    return service


@pytest.fixture(scope="module")
def tokens(_guarded: Service) -> dict[str, str]:
    """The token of each role's key."""
    assert _guarded.tower.keys is not None
    return {role: _guarded.tower.keys.add(role, role) for role in ROLES}


@pytest.fixture
def guarded(_guarded: Service) -> Service:
    """That worker, asked without a key until a test brings one."""
    _guarded.token = None
    return _guarded


def rules(service: Service) -> list[tuple[str, str, str]]:
    """Method, path and endpoint of every route, with the model `m` in its place."""
    models = {"model_name": "m", "model_version": "1", "experiment_id": "0", "name": "m"}
    values = {
        **models,
        "rule_name": "r",
        "promotion_id": "0" * 32,
        "batch_id": "b",
        "column": "age",
        "alias": "champion",
        "stage": "Staging",
        "filename": "icon.svg",
        "digest": "x",
    }
    return [
        (method, template_of(rule.rule).format(**values), rule.endpoint)
        for rule in service.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


def test_every_route_declares_the_role_that_the_contract_names(guarded: Service) -> None:
    declared = {endpoint: role_of(guarded.app, endpoint) for endpoint in guarded.app.view_functions}
    assert declared == NEEDED


@pytest.mark.parametrize("role", [None, *ROLES])
def test_a_key_opens_what_its_role_and_those_before_it_may_do(
    guarded: Service, tokens: dict[str, str], role: str | None
) -> None:
    wrong = []
    for method, path, endpoint in rules(guarded):
        needed = NEEDED[endpoint]
        guarded.token = tokens[role] if role else None
        status = guarded.call(method, path, json={"model_type": "classifier"} if method == "POST" else None).status_code
        if needed == OPEN or (role and ROLES.index(role) >= ROLES.index(needed)):
            fits = status not in (401, 403) and status < 500
        else:
            fits = status == (403 if role else 401)
        if not fits:
            wrong.append((method, path, status))
    assert wrong == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic YWRhOnB3",
        "Basic \xc2\x80",
        "Bearer read",
        "bearer\x20\x20x",
        "Bearer ünïcode",
        "x" * 5000,
    ],
)
def test_without_a_good_key_the_answer_is_401_and_says_how(guarded: Service, header: str) -> None:
    response = guarded.get("/models", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.json == {"detail": "This needs an access key: send it as Authorization: Bearer KEY."}


def test_the_digest_in_the_file_is_no_key(guarded: Service, tokens: dict[str, str]) -> None:
    guarded.token = hashlib.sha256(tokens["admin"].encode()).hexdigest()
    assert guarded.get("/models").status_code == 401


def test_a_role_that_is_not_enough_is_told(guarded: Service, tokens: dict[str, str]) -> None:
    guarded.token = tokens["read"]
    response = guarded.register("m")
    assert response.status_code == 403
    assert response.json == {"detail": "This needs a key with the role write; yours has read."}


def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405_also_without_a_key(guarded: Service) -> None:
    assert guarded.get("/nope").status_code == 404
    assert guarded.post("/livez").status_code == 405


def test_a_page_of_another_origin_may_ask_what_it_may_do(tmp_path: Path, start: Start) -> None:
    service = start(api_tokens_file=tmp_path / "keys", cors_origins="https://a.example")
    asked = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    response = service.call("OPTIONS", "/models", headers=asked)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Headers"] == "authorization"


def test_who_registers_is_the_keys_name_where_the_request_does_not_say(
    guarded: Service, tokens: dict[str, str]
) -> None:
    guarded.token = tokens["write"]
    assert guarded.register("m", 2).status_code == 201
    assert guarded.register("m", 3, registered_by="somebody else").status_code == 201
    by = {r.version: r.registered_by for r in guarded.world.registrations.values()}
    assert (by[2], by[3]) == ("write", "somebody else")
    assert guarded.remove("m", 2).status_code == 200
    assert ("write", "removed from monitoring") in guarded.world.ended.values()


def test_every_write_is_a_log_line_with_who_what_and_the_outcome(
    guarded: Service, tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app.audit"):
        guarded.register("m", 1)
        for role in ("read", "admin"):
            guarded.token = tokens[role]
            guarded.delete("/cache/clear")
        guarded.register("nobody")
        guarded.get("/models")
        guarded.post(f"{monitor('m')}/preview", json={"settings": {}})
    lines = [record.getMessage() for record in caplog.records if record.name == "app.audit"]
    assert lines == [
        "anonymous POST /models/m/1/monitor: 401",
        "read DELETE /cache/clear: 403",
        "admin DELETE /cache/clear: 200",
        "admin POST /models/nobody/1/monitor: 404",
    ]


def test_no_log_line_and_no_answer_holds_a_token(
    guarded: Service, tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answers = []
    with caplog.at_level(logging.DEBUG):
        for token in (*tokens.values(), "ct_mistyped"):
            guarded.token = token
            for path in ("/config", "/models", "/nope", "/debug/monitored"):
                response = guarded.get(path)
                answers.append(response.text + str(response.headers))
            answers.append(guarded.register("m").text)
    told = caplog.text + "".join(answers)
    assert [token for token in (*tokens.values(), "ct_mistyped") if token in told] == []


def test_a_changed_file_of_keys_counts_at_once_and_a_broken_one_not_at_all(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "keys"
    service = start(api_tokens_file=file)
    assert service.tower.keys is not None
    assert service.get("/models").status_code == 401
    service.token = service.tower.keys.add("ada", "read")
    assert service.get("/models").status_code == 200
    good = file.read_text()
    file.write_text(good + "this is no key\n")
    assert service.get("/models").status_code == 200
    file.write_text("# ada has left\n")
    assert service.get("/models").status_code == 401
    file.write_text(good)
    assert service.get("/models").status_code == 200


def test_with_a_file_that_is_missing_nobody_is_let_in(tmp_path: Path, start: Start) -> None:
    service = start(api_tokens_file=tmp_path / "missing")
    service.token = "ct_anything"
    assert service.get("/models").status_code == 401
    assert service.get("/livez").status_code == 200
    with pytest.raises(BadKeyFile):
        service.worker.prepare()


def test_a_route_that_declares_no_role_is_closed(tmp_path: Path, start: Start) -> None:
    service = start(api_tokens_file=tmp_path / "keys")
    service.app.add_url_rule("/forgotten", "forgotten", lambda: {})
    assert service.tower.keys is not None
    client = service.app.test_client()
    for role in ("read", "write"):
        token = service.tower.keys.add(role, role)
        assert client.get("/forgotten", headers={"Authorization": f"Bearer {token}"}).status_code == 403
    assert client.get("/forgotten").status_code == 401


def test_without_keys_everything_is_open(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    assert {service.get(path).status_code for path in ("/models", "/config", "/debug/monitored", "/docs")} == {200}
    assert service.register("m").status_code == 201
    assert service.get("/models", headers={"Authorization": "Bearer whatever"}).status_code == 200
    assert service.delete(monitor("m")).status_code == 200
    operations = [operation for path in document_of(service.app)["paths"].values() for operation in path.values()]
    assert [operation for operation in operations if "x-role" in operation and operation["security"]] == []


def test_openapi_says_of_every_operation_which_role_it_needs(guarded: Service) -> None:
    document = document_of(guarded.app)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    told = {}
    for rule in guarded.app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            operation = document["paths"].get(template_of(rule.rule), {}).get(method.lower())
            if operation is not None:
                told[rule.endpoint] = (operation["x-role"], operation["security"])
    made_by_others = {e for e in NEEDED if e == "static" or e.startswith(("api-docs", "ui."))}
    assert told == {
        endpoint: (role, [] if role == OPEN else [{"bearer": []}])
        for endpoint, role in NEEDED.items()
        if endpoint not in made_by_others
    }
