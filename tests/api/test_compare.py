"""Champion against challenger, as a client asks for it."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.champions import STABLE, evaluate, two_versions
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld


def path(name: str, baseline: object = "champion", candidate: object = "challenger", **more: object) -> str:
    asked = {"baseline": baseline, "candidate": candidate, **more}
    return f"/model/{quote(name, safe='')}/compare?{urlencode(asked, doseq=True)}"


def row(found: Any, metric: str) -> Any:
    return next(one for one in found["metrics"] if one["metric"] == metric)


def test_each_metric_has_both_values_their_difference_and_an_answer(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.93, 0.92), rmse=(2.0, 1.5), size=(1.0, 2.0))
    world.set_stage("m", 1, "Production")
    found = service.json(path("m", margin=0.01))
    assert {key: value for key, value in found.items() if key != "metrics"} == {
        "name": "m",
        "baseline": {"version": "1", "alias": "champion", "stage": "Production"},
        "candidate": {"version": "2", "alias": "challenger", "stage": "Staging"},
        "margin": 0.01,
        "non_inferior": True,
        "passes": True,
    }
    assert [one["metric"] for one in found["metrics"]] == ["accuracy", "rmse", "size"]
    accuracy = row(found, "accuracy")
    assert accuracy.pop("difference") == pytest.approx(-0.01)
    assert accuracy.pop("reason").startswith("0.92 against 0.93 in training, last values of 1 and 1 points")
    assert accuracy == {
        "metric": "accuracy", "direction": "higher", "population": "training", "method": "last values", "n": 1,
        "baseline": 0.93, "candidate": 0.92, "better": False, "non_inferior": True,
        "margin": 0.01, "min": None, "max": None, "within_limits": None,
    }  # fmt: skip
    assert (row(found, "rmse")["better"], row(found, "rmse")["non_inferior"]) == (True, True)
    assert (row(found, "size")["direction"], row(found, "size")["non_inferior"]) == (None, None)


def test_days_that_both_were_scored_on_are_paired(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.99, 0.5))
    evaluate(world, "m", 1, "accuracy", STABLE)
    evaluate(world, "m", 2, "accuracy", [value + 0.01 for value in STABLE])
    found = service.json(path("m"))
    accuracy = row(found, "accuracy")
    assert (accuracy["population"], accuracy["method"], accuracy["n"]) == ("production", "paired days", 7)
    assert accuracy["difference"] == pytest.approx(0.01)
    assert found["non_inferior"] is True


def test_where_there_is_evidence_from_production_training_decides_nothing(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.9, 0.9), f1=(0.9, 0.1))
    evaluate(world, "m", 1, "accuracy", STABLE)
    evaluate(world, "m", 2, "accuracy", STABLE)
    found = service.json(path("m"))
    assert (row(found, "f1")["non_inferior"], found["non_inferior"]) == (False, True)
    assert service.json(path("m", metric=["accuracy", "f1"]))["non_inferior"] is False


def test_the_versions_may_be_named_by_number_or_alias_in_any_case(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.9, 0.8))
    found = service.json(path("m", 2, "CHAMPION"))
    assert found["baseline"] == {"version": "2", "alias": None, "stage": "Staging"}
    assert found["candidate"]["version"] == "1"
    assert found["non_inferior"] is True


@pytest.mark.parametrize(
    "pair", [(1, 1), ("champion", 1), (1, "CHAMPION"), ("champion", "champion"), ("champion", "best")]
)
def test_a_version_is_not_compared_with_itself_whatever_it_is_called(
    service: Service, world: MemoryWorld, pair: tuple[object, object]
) -> None:
    two_versions(world, accuracy=(0.9, 0.8))
    world.set_alias("m", "best", 1)
    response = service.get(path("m", *pair))
    assert response.status_code == 400
    assert "both version 1" in response.json["detail"]
    assert "Name two versions" in response.json["detail"]


def test_an_alias_that_was_moved_a_moment_ago_counts_at_once(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.9, 0.8))
    service.json("/models/all")
    world.add_version("m", {"accuracy": 0.95})
    world.set_alias("m", "challenger", 3)
    assert service.json(path("m"))["candidate"]["version"] == "3"


def test_the_settings_of_the_baselines_registration_say_which_way_is_better(
    service: Service, world: MemoryWorld
) -> None:
    two_versions(world, accuracy=(0.9, 0.8), widgets=(5.0, 4.0))
    service.register("m", 1)
    ((run_id, registered),) = world.registrations.items()
    settings = {"direction": {"accuracy": "lower", "widgets": "higher"}}
    world.registrations[run_id] = replace(registered, settings=settings)
    found = service.json(path("m"))
    assert [(one["direction"], one["better"]) for one in found["metrics"]] == [("lower", True), ("higher", False)]
    # Those of the candidate do not.
    assert row(service.json(path("m", 2, 1)), "widgets")["direction"] is None


def test_a_registration_of_a_version_that_was_deleted_and_made_again_says_nothing(
    service: Service, world: MemoryWorld
) -> None:
    two_versions(world, widgets=(5.0, 4.0))
    service.register("m", 1)
    ((run_id, registered),) = world.registrations.items()
    settings = {"direction": {"widgets": "higher"}}
    world.registrations[run_id] = replace(registered, settings=settings, version_created=1)
    assert row(service.json(path("m")), "widgets")["direction"] is None


def test_without_anything_to_compare_the_answer_is_null(service: Service, world: MemoryWorld) -> None:
    two_versions(world)
    found = service.json(path("m"))
    assert (found["non_inferior"], found["metrics"]) == (None, [])
    found = service.json(path("m", metric="acuracy"))
    assert (found["non_inferior"], len(found["metrics"])) == (None, 1)


@pytest.mark.parametrize("name", ["a b", 'it\'s "x" & y', "100%25", "🧬", "old:name", "end\n", " ", "champion"])
def test_a_model_is_compared_under_any_name(service: Service, world: MemoryWorld, name: str) -> None:
    two_versions(world, name, accuracy=(0.9, 0.9))
    found = service.json(path(name))
    assert (found["name"], found["non_inferior"]) == (name, True)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("nobody", "champion", "challenger"), "'nobody'"),
        (("M", "champion", "challenger"), "'M'"),
        (("m", 7, "challenger"), "version 7"),
        (("m", "champion", "999999999"), "version 999999999"),
        (("m", "champion", "nobody"), "'nobody'"),
        (("m", "0", "challenger"), "'0'"),
        (("m", "champion", "01"), "'01'"),
        (("m", "champion", "1 "), "'1 '"),
        (("m", "champion", "🧬"), "'🧬'"),
    ],
)
def test_what_mlflow_does_not_know_is_a_404_that_names_it(
    service: Service, world: MemoryWorld, asked: tuple[str, object, object], told: str
) -> None:
    two_versions(world, accuracy=(0.9, 0.9))
    response = service.get(path(*asked))
    assert response.status_code == 404
    assert told in response.json["detail"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "baseline: Needed"),
        ("baseline=1", "candidate: Needed"),
        ("candidate=1", "baseline: Needed"),
        ("baseline=&candidate=1", "baseline: "),
        ("baseline=1&candidate=" + "x" * 256, "candidate: "),
        *(
            (f"baseline=1&candidate=1&margin={margin}", "margin: ")
            for margin in ("-0.1", "x", "", "nan", "inf", "1e10", "1_0", "%20 1", "1e999", "-1e-9", "%EF%BC%91")
        ),
        ("baseline=1&candidate=1&margin=a=1&margin=a=2", "margin: "),
        ("baseline=1&candidate=1&min=0.9", "min: "),
        ("baseline=1&candidate=1&max=a=1&min=a=2", "min: "),
        ("baseline=1&candidate=1&metric=", "metric"),
        ("baseline=1&candidate=1&metric=ok&metric=a%00b", "metric"),
        ("baseline=1&candidate=1&metric=../up", "metric"),
        ("baseline=1&candidate=1&metric=" + "x" * 251, "metric"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_400_that_names_the_parameter(shared: Service, query: str, told: str) -> None:
    response = shared.get(f"/model/m/compare?{query}")
    assert response.status_code == 400
    assert told in response.json["detail"]


@pytest.mark.parametrize("margin", ["0", "0.01", "1e-2", "1000000000", "5.25E+3"])
def test_a_margin_is_written_as_numbers_are_in_json(service: Service, world: MemoryWorld, margin: str) -> None:
    two_versions(world, accuracy=(0.9, 0.8))
    assert service.json(path("m", margin=margin))["margin"] == float(margin)


def test_margins_and_limits_are_given_metric_by_metric(service: Service, world: MemoryWorld) -> None:
    two_versions(world, accuracy=(0.3, 0.5), rmse=(40.0, 41.0))
    asked = f"{path('m')}&margin=0.01&margin=rmse=2&max=rmse%3D41"
    found = service.json(asked)
    assert (found["margin"], found["non_inferior"], found["passes"]) == (0.01, True, True)
    assert (row(found, "rmse")["margin"], row(found, "rmse")["max"], row(found, "rmse")["within_limits"]) == (
        2,
        41,
        True,
    )
    assert row(found, "accuracy")["within_limits"] is None
    # A champion on broken input lets anything pass that has no limit.
    found = service.json(f"{asked}&min=accuracy=0.9")
    assert (found["non_inferior"], found["passes"], row(found, "accuracy")["within_limits"]) == (True, False, False)
    assert "required is at least 0.9: 0.5 is beyond the limit" in row(found, "accuracy")["reason"]
    # A misspelt name is seen, and decides nothing.
    found = service.json(f"{asked}&margin=acuracy=0.5&metric=accuracy")
    assert (found["passes"], row(found, "acuracy")["reason"]) == (
        True, "Not comparable: neither version has a point of this metric"
    )  # fmt: skip


def test_with_mlflow_down_it_is_a_500_with_the_reason(service: Service, gateway: MemoryGateway) -> None:
    two_versions(gateway.world, accuracy=(0.9, 0.9))
    service.json("/models/all")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    response = service.get(path("m"))
    assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})


def test_nothing_is_written_to_mlflow(service: Service, world: MemoryWorld, gateway: MemoryGateway) -> None:
    two_versions(world, accuracy=(0.9, 0.9))
    service.json(path("m"))
    assert set(gateway.calls) == {"read_models", "open_registrations", "evidence"}
