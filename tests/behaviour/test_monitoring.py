"""Monitoring: registering, removing, and what becomes of registrations when MLflow changes under them."""

from urllib.parse import quote

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.models import Registration
from tests.behaviour.conftest import Api, Make

NOT_FOUND = {"detail": "Model not found in MLflow"}
ALREADY = {"detail": "Model is already being monitored"}
NOT_MONITORED = {"detail": "Model is not being monitored"}
BAD_TYPE = {"detail": "Invalid model type. Must be classifier or regressor"}


@pytest.fixture
def one(api: Api) -> Api:
    api.world.add_version("m", {"accuracy": 0.9})
    return api


def test_registering_and_removing_answer_as_the_old_service_did(one: Api) -> None:
    made = one.register(registered_by="ada")
    assert made.status_code == 201
    at = made.json.pop("registered_at")
    assert at.endswith("Z")
    assert (
        made.json.items()
        >= {
            "message": "Model m v1 added to monitoring as classifier",
            "model_name": "m",
            "model_version": "1",
            "model_type": "classifier",
        }.items()
    )
    assert one.get("/models/m/1/monitor/status").json == {
        "model_name": "m",
        "model_version": "1",
        "is_monitored": True,
    }
    removed = one.remove()
    assert removed.status_code == 200
    assert removed.json["message"] == "Model m v1 removed from monitoring"
    assert set(removed.json) == {"message", "model_name", "model_version", "removed_at"}
    assert not one.monitored()
    assert list(one.world.ended.values()) == [("anonymous", "removed from monitoring")]


def test_what_is_registered_cannot_be_registered_and_what_is_not_cannot_be_removed(one: Api) -> None:
    assert (one.remove().status_code, one.remove().json) == (404, NOT_MONITORED)
    one.register()
    again = one.register()
    assert (again.status_code, again.json) == (400, ALREADY)
    assert len(one.world.registrations) == 1


@pytest.mark.parametrize("version", ["01", "+1", "abc", "12345678901234567890", "0", "-1", "1.0", "２", "1%20"])
def test_what_is_no_version_is_unknown_and_mlflow_is_not_asked(one: Api, version: str) -> None:
    before = list(one.gateway.calls)
    assert (one.register("m", version).status_code, one.register("m", version).json) == (404, NOT_FOUND)
    assert (one.remove("m", version).status_code, one.remove("m", version).json) == (404, NOT_MONITORED)
    assert one.monitored("m", version) is False
    assert one.gateway.calls == before


def test_an_unknown_model_is_404_and_not_monitored(one: Api) -> None:
    assert (one.register("nope").status_code, one.register("nope").json) == (404, NOT_FOUND)
    assert one.register("m", 2).json == NOT_FOUND
    assert one.monitored("nope") is False


@pytest.mark.parametrize("value", ["Classifier", "", None, 1, ["classifier"], {}])
def test_a_bad_type_has_the_contracts_message(one: Api, value: object) -> None:
    answer = one.register(model_type=value)
    assert (answer.status_code, answer.json) == (400, BAD_TYPE)


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        (b"{}", "application/json", "model_type"),
        (b'{"model_type":"classifier","x":1}', "application/json", "x"),
        (b'{"model_type":"classifier","registered_by":7}', "application/json", "registered_by"),
        (b'{"model_type":"classifier","registered_by":""}', "application/json", "registered_by"),
        (b'{"model_type":"classifier","registered_by":"' + b"a" * 251 + b'"}', "application/json", "registered_by"),
        (b"[]", "application/json", "object"),
        (b"null", "application/json", "object"),
        (b"{", "application/json", "JSON"),
        (b'{"model_type":NaN}', "application/json", "JSON"),
        (b"\xff", "application/json", "JSON"),
        (b"[" * 100_000, "application/json", "JSON"),
        (b"", "application/json", "JSON"),
        (b'{"model_type":"classifier"}', "text/plain", "Content-Type"),
        (b"model_type=classifier", "application/x-www-form-urlencoded", "Content-Type"),
        (b" " * (1 << 21), "application/json", "too large"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_400_that_helps(one: Api, body: bytes, content_type: str, word: str) -> None:
    answer = one.client.post("/models/m/1/monitor", data=body, content_type=content_type)
    assert answer.status_code == 400
    assert word in answer.json["detail"]
    assert not one.world.registrations


@pytest.mark.parametrize(
    "name",
    [
        " both ends ",
        'it\'s "odd"',
        "100%",
        "<script>alert(1)",
        "🧬",
        "old:name",
        "a\nb",
        "?#&",
        "%2525",
    ],
)
def test_a_name_is_taken_as_mlflow_has_it(api: Api, name: str) -> None:
    api.world.add_version(name)
    escaped = quote(name, safe="")
    assert api.register(escaped).status_code == 201
    assert api.monitored(escaped)
    assert [r["name"] for r in api.get("/models/monitored").json] == [name]
    assert api.get(f"/model/{escaped}/versions").json[0]["monitored"] is True
    assert api.remove(escaped).status_code == 200


def test_names_that_differ_in_case_are_two_models(api: Api) -> None:
    api.world.add_version("Model")
    api.world.add_version("model")
    api.register("Model")
    assert (api.monitored("Model"), api.monitored("model")) == (True, False)


def test_two_workers_see_each_others_registrations_at_once(make: Make, one: Api) -> None:
    other = make(one.gateway)
    assert other.names("/models/monitored") == []
    one.register()
    assert other.monitored()
    assert other.names("/models/monitored") == ["m/1"]
    assert other.register().json == ALREADY
    other.remove()
    assert one.names("/models/monitored") == []


def test_a_version_that_the_mirror_has_not_seen_is_there_as_soon_as_it_is_registered(one: Api) -> None:
    assert one.names("/models/all") == ["m/1"]
    one.world.add_version("m")
    one.register("m", 2)
    assert one.names("/models/monitored") == ["m/2"]


def test_registrations_outlive_a_clear_and_the_loss_of_the_cache_directory(make: Make, one: Api, tmp_path) -> None:  # type: ignore[no-untyped-def]
    one.register()
    one.client.delete("/cache/clear")
    assert one.names("/models/monitored") == ["m/1"]
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    assert make(one.gateway).names("/models/monitored") == ["m/1"]
    one.world.add_version("n")
    one.register("n")
    assert make(one.gateway).names("/models/monitored") == ["m/1", "n/1"]


def test_a_model_deleted_and_made_anew_inherits_nothing(one: Api) -> None:
    one.register()
    one.world.delete_model("m")
    one.world.add_version("m")
    one.refresh()
    assert one.names("/models/monitored") == []
    assert [reason for _, reason in one.world.ended.values()] == ["the model version no longer exists in MLflow"]
    assert one.register().status_code == 201


def test_a_stale_registration_of_a_version_made_anew_gives_way_to_a_new_one(one: Api) -> None:
    one.register()
    one.world.delete_model("m")
    one.world.add_version("m")
    assert one.register().status_code == 201
    assert len(one.world.registrations) == 1
    assert [reason for _, reason in one.world.ended.values()] == ["the model version was deleted and made again"]


def test_of_two_open_runs_for_one_version_the_earlier_counts_and_the_other_is_ended(one: Api) -> None:
    one.register(registered_by="first")
    first = next(iter(one.world.registrations.values()))
    late = Registration("m", 1, "regressor", "late", first.registered_at + 9999, "", first.version_created)
    one.gateway.open_monitor_run(late)
    one.refresh()
    assert [r.registered_by for r in one.world.registrations.values()] == ["first"]
    assert ["registered twice" in reason for _, reason in one.world.ended.values()] == [True]


def test_a_run_opened_elsewhere_counts_for_registering_and_removing(one: Api) -> None:
    assert one.names("/models/monitored") == []
    created = one.world.versions["m", 1].created
    one.gateway.open_monitor_run(Registration("m", 1, "classifier", "other host", 5, "", created))
    assert one.register().json == ALREADY
    assert one.names("/models/monitored") == ["m/1"]
    assert one.remove().status_code == 200


def test_when_the_experiment_is_deleted_the_list_stays_marked_stale_and_the_next_write_restores_it(one: Api) -> None:
    one.world.add_version("n")
    one.register()
    one.world.delete_experiment("control-tower")
    one.refresh()
    answer = one.get("/models/monitored")
    assert [r["name"] for r in answer.json] == ["m"]
    assert answer.headers["X-Data-Stale"] == "true"
    one.register("n")
    one.refresh()
    answer = one.get("/models/monitored")
    assert [r["name"] for r in answer.json] == ["m", "n"]
    assert "X-Data-Stale" not in answer.headers


def test_with_mlflow_down_nothing_is_registered_and_what_is_known_is_told(one: Api) -> None:
    one.world.add_version("n")
    one.register()
    one.gateway.failure = MlflowUnavailable("MLflow is down.")
    assert (one.register("n").status_code, one.register("n").json) == (500, {"detail": "MLflow is down."})
    assert one.remove().status_code == 500
    assert one.monitored()
    one.gateway.failure = None
    assert one.register("n").status_code == 201


def test_a_failing_look_up_of_a_new_version_does_not_undo_its_registration(one: Api) -> None:
    one.names("/models/all")
    one.world.add_version("m")
    read_model = one.gateway.read_model

    def failing(name: str) -> object:
        raise MlflowUnavailable("slow")

    one.gateway.read_model = failing  # type: ignore[method-assign,assignment]
    assert one.register("m", 2).status_code == 201
    assert one.monitored("m", 2)
    one.gateway.read_model = read_model  # type: ignore[method-assign]
    one.refresh()
    assert one.names("/models/monitored") == ["m/2"]


def test_without_a_cache_registrations_are_read_from_mlflow(make: Make, one: Api) -> None:
    direct = make(one.gateway, enable_cache=False)
    assert direct.register().status_code == 201
    assert direct.names("/models/monitored") == ["m/1"]
    assert direct.register().json == ALREADY
    assert direct.remove().status_code == 200
    assert not direct.monitored()
