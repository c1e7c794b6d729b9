"""Registering versions for monitoring, removing them, and asking for their status."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.service import Service, monitor
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

NAMES = ["plain", "a b", " edges ", "it's", 'a "quoted" one', "100%", "%41", "a%2Fb", "<script>alert(1)",
         "Größe 🧬", "legacy:name", "line\nbreak", "ends\n", "?#&=+;,", "back\\slash", "..", "production", "x" * 500,
         "monitor", "\u202egnp.exe", "null"]  # fmt: skip
NO_VERSIONS = ["01", "+1", "-1", "0", "abc", "1.0", "1e3", " 1", "1\n", "１", "٣", "1_0", "1234567890", "1" * 20]
INVALID_TYPE = "Invalid model type. Must be classifier or regressor"


@pytest.fixture(scope="module")
def tidy(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker for tests that take back what they register; its MLflow holds twelve versions of the model `m`."""
    service = Service(tmp_path_factory.mktemp("tidy"), MemoryGateway())
    for _ in range(12):
        service.world.add_version("m")
    service.refresh()
    return service


@pytest.mark.parametrize("name", NAMES)
def test_a_version_is_registered_and_removed_under_any_name(tidy: Service, name: str) -> None:
    service = tidy
    service.world.add_version(name)
    made = service.register(name, registered_by="ada")
    assert made.status_code == 201
    assert made.json == {
        "message": f"Model {name} v1 added to monitoring as classifier",
        "model_name": name,
        "model_version": "1",
        "model_type": "classifier",
        "registered_at": made.json["registered_at"],
    }
    assert service.is_monitored(name)
    assert service.keys("/models/monitored") == [(name, "1")]
    gone = service.remove(name)
    assert gone.status_code == 200
    assert gone.json == {
        "message": f"Model {name} v1 removed from monitoring",
        "model_name": name,
        "model_version": "1",
        "removed_at": gone.json["removed_at"],
    }
    assert gone.json["removed_at"] > made.json["registered_at"]
    assert not service.is_monitored(name)
    assert service.keys("/models/monitored") == []


def test_names_that_differ_in_case_only_are_different_models(service: Service, world: MemoryWorld) -> None:
    world.add_version("Model")
    world.add_version("model")
    assert service.register("Model").status_code == 201
    assert not service.is_monitored("model")
    assert service.register("model").status_code == 201


def test_versions_of_a_model_are_registered_each_by_itself(service: Service, world: MemoryWorld) -> None:
    for _ in range(11):
        world.add_version("m")
    assert service.register("m", 1).status_code == 201
    assert service.register("m", 11).status_code == 201
    assert service.remove("m", 1).status_code == 200
    assert service.keys("/models/monitored") == [("m", "11")]


@pytest.mark.parametrize(("name", "version"), [("nobody", 1), ("m", 2), ("m", 999999999), ("M", 1)])
def test_what_mlflow_does_not_know_cannot_be_registered(
    service: Service, world: MemoryWorld, name: str, version: int
) -> None:
    world.add_version("m")
    response = service.register(name, version)
    assert (response.status_code, response.json) == (404, {"detail": "Model not found in MLflow"})
    assert world.registrations == {}


def test_a_registered_version_cannot_be_registered_again(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    service.register("m")
    response = service.register("m", model_type="regressor")
    assert (response.status_code, response.json) == (400, {"detail": "Model is already being monitored"})
    assert [r.model_type for r in world.registrations.values()] == ["classifier"]


def test_what_is_not_registered_cannot_be_removed(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    world.add_version("m")
    service.register("m", 2)
    service.remove("m", 2)
    for name, version in (("m", 1), ("m", 2), ("nobody", 1)):
        response = service.remove(name, version)
        assert (response.status_code, response.json) == (404, {"detail": "Model is not being monitored"})


def test_a_removed_version_can_be_registered_again_as_something_else(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    service.register("m", model_type="classifier")
    service.remove("m")
    assert service.register("m", model_type="regressor").status_code == 201
    assert service.keys("/models/monitored/regressor") == [("m", "1")]


@pytest.mark.parametrize("version", NO_VERSIONS)
def test_what_is_no_version_is_an_unknown_version_and_mlflow_is_not_asked(tidy: Service, version: str) -> None:
    tidy.register("m", 10)
    before = list(tidy.gateway.calls)
    registered, removed = tidy.register("m", version), tidy.remove("m", version)
    assert (registered.status_code, registered.json["detail"]) == (404, "Model not found in MLflow")
    assert (removed.status_code, removed.json["detail"]) == (404, "Model is not being monitored")
    assert not tidy.is_monitored("m", version)
    assert tidy.gateway.calls == before
    assert tidy.remove("m", 10).status_code == 200


def test_the_status_of_what_mlflow_does_not_know_is_false(service: Service) -> None:
    assert not service.is_monitored("nobody", 7)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"model_type": "ranker"}, INVALID_TYPE),
        ({"model_type": "Classifier"}, INVALID_TYPE),
        ({"model_type": ""}, INVALID_TYPE),
        ({"model_type": None}, INVALID_TYPE),
        ({"model_type": 1}, INVALID_TYPE),
        ({"model_type": True}, INVALID_TYPE),
        ({"model_type": ["classifier"]}, INVALID_TYPE),
        ({"model_type": {"classifier": 1}}, INVALID_TYPE),
        ({"model_type": "ranker", "surprise": 1}, INVALID_TYPE),
        ({}, "model_type: Needed: classifier or regressor."),
        ({"model_type": "classifier", "surprise": 1}, "surprise: Unknown field."),
        ({"model_type": "classifier", "registered_by": None}, "registered_by: Field may not be null."),
        ({"model_type": "classifier", "registered_by": 5}, "registered_by: Not a valid string."),
        ({"model_type": "classifier", "registered_by": ""}, "registered_by: Length must be between 1 and 250."),
        ({"model_type": "classifier", "registered_by": "x" * 251}, "registered_by: Length must be between 1 and 250."),
    ],
)
def test_a_field_that_cannot_be_used_is_a_400_that_says_what_is_wrong(
    shared: Service, body: dict[str, object], detail: str
) -> None:
    response = shared.post(monitor("m"), json=body)
    assert (response.status_code, response.json) == (400, {"detail": detail})
    assert shared.world.registrations == {}


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"model_type": "classifier"', b"\xff\xfe", b"NaN",
                                  b'{"model_type": "\\ud800"}', b"[" * 100_000])  # fmt: skip
def test_a_body_that_is_no_json_is_a_400(shared: Service, body: bytes) -> None:
    response = shared.post(monitor("m"), data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json["detail"].startswith("The body is not valid JSON")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"classifier"', b"1", b"true", b'[{"model_type": "classifier"}]'])
def test_a_body_that_is_no_object_is_a_400(shared: Service, body: bytes) -> None:
    response = shared.post(monitor("m"), data=body, content_type="application/json")
    assert (response.status_code, response.json) == (400, {"detail": "The body must be a JSON object."})


@pytest.mark.parametrize(
    "body",
    [
        '{"model_type": "classifier", "registered_by": "\\u0000"}',
        '{"model_type": "classifier", "settings": {"limits": {"a\\u0000": {"min": 1}}}}',
    ],
)
def test_a_text_that_no_database_takes_is_a_400(shared: Service, body: str) -> None:
    response = shared.post(monitor("m"), data=body, content_type="application/json")
    assert (response.status_code, "U+0000" in response.json["detail"]) == (400, True)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", None])
def test_a_body_under_another_content_type_is_a_400(shared: Service, content_type: str | None) -> None:
    response = shared.post(monitor("m"), data=b'{"model_type": "classifier"}', content_type=content_type)
    assert response.status_code == 400
    assert "Content-Type: application/json" in response.json["detail"]
    assert shared.world.registrations == {}


def test_json_may_name_its_charset(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    body = b'{"model_type": "classifier"}'
    assert service.post(monitor("m"), data=body, content_type="application/json; charset=utf-8").status_code == 201


def test_a_huge_body_is_a_400_that_names_the_limit(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    response = service.register("m", registered_by="x" * (1 << 20))
    assert (response.status_code, response.json) == (
        400,
        {"detail": "The request body is too large: at most 1 MiB."},
    )


@pytest.mark.parametrize(("size", "status"), [(100, 201), ((1 << 20) - 1, 201), ((1 << 20) + 1, 400), (3 << 20, 400)])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_may_hold_almost_a_mebibyte_and_is_read_to_its_end_also_in_chunks(
    tidy: Service, size: int, status: int, chunked: bool
) -> None:
    body = b'{"model_type": "classifier"}'
    stream = io.BytesIO(body + b" " * (size - len(body)))
    response = tidy.post(
        monitor("m"),
        input_stream=stream,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert response.status_code == status
    # What is left unread would be taken for the client's next request.
    assert stream.tell() == size
    if status == 201:
        tidy.remove("m")


def test_a_body_that_nobody_asked_for_is_ignored(shared: Service) -> None:
    assert shared.get("/models/all", data=b"{", content_type="application/json").status_code == 200


@pytest.mark.parametrize(("given_by", "kept"), [(None, "anonymous"), ("  ada\n", "  ada\n"), ("Zoë 🧬", "Zoë 🧬")])
def test_who_registered_is_kept(service: Service, world: MemoryWorld, given_by: str | None, kept: str) -> None:
    world.add_version("m")
    service.register("m", **({"registered_by": given_by} if given_by else {}))
    assert [r.registered_by for r in world.registrations.values()] == [kept]
    assert service.json("/debug/monitored")["monitored_list"][0]["registered_by"] == kept


def test_a_version_newer_than_the_mirror_is_registered_and_listed_at_once(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    service.json("/models/all")
    world.add_version("m")
    assert service.register("m", 2).status_code == 201
    assert service.keys("/models/monitored") == [("m", "2")]
    assert service.keys("/models/all") == [("m", "2"), ("m", "1")]


_names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(name=_names)
def test_any_name_that_mlflow_takes_comes_back_as_it_was(tidy: Service, name: str) -> None:
    if (name, 1) not in tidy.world.versions:
        tidy.world.add_version(name)
    assert tidy.register(name).json["model_name"] == name
    assert tidy.is_monitored(name)
    assert tidy.keys("/models/monitored") == [(name, "1")]
    assert tidy.remove(name).json["model_name"] == name
