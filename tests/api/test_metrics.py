"""`/metrics` as Prometheus sees it, of one worker."""

from collections.abc import Callable

from tests.api.service import Service
from tests.exposition import Figures, figure, figures

Start = Callable[..., Service]


def scraped(service: Service) -> Figures:
    response = service.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return figures(response.data)


def test_it_tells_the_registry_by_stage_and_what_is_monitored(service: Service) -> None:
    for stage in ("Production", "Production", "Staging", "None"):
        service.world.add_version("m", {"accuracy": 0.9}, stage=stage)
    service.refresh()
    service.register("m", 2, "regressor")
    found = scraped(service)
    stages = {stage: figure(found, "model_versions", stage=stage) for stage in ("Production", "Staging", "Archived")}
    assert stages == {"Production": 2, "Staging": 1, "Archived": 0}
    assert figure(found, "monitored_versions") == 1
    labels = {"name": "m", "version": "2", "model_type": "regressor"}
    assert figure(found, "model_verdict", **labels, verdict="insufficient_data") == 1
    assert figure(found, "mlflow_up") == 1


def test_the_age_of_the_snapshot_grows_until_it_is_read_anew(service: Service) -> None:
    service.refresh()
    service.clock.forward(600)
    assert 600 <= figure(scraped(service), "snapshot_age_seconds") < 601
    assert figure(scraped(service), "snapshot_interval_seconds") == 1800
    service.refresh()
    assert figure(scraped(service), "snapshot_age_seconds") < 1


def test_a_scrape_asks_mlflow_nothing_even_when_nothing_is_known(start: Start) -> None:
    for settings in ({}, {"enable_cache": False}):
        service = start(**settings)
        before = list(service.gateway.calls)
        found = scraped(service)
        assert service.gateway.calls == before
        assert ("control_tower_snapshot_age_seconds", ()) not in found
        assert figure(found, "monitored_versions") == 0


def test_requests_are_timed_by_route_method_and_class_of_status(service: Service) -> None:
    service.world.add_version("m")
    for path in ("/models/all", "/models/all?name=x", "/models/m/1/monitor/status", "/models/n/2/monitor/status"):
        service.get(path)
    service.get("/models/all?page=x")
    service.get("/nowhere")
    service.call("PATCH", "/models/all")
    service.call("HEAD", "/models/all")
    service.get("/caf%E9")
    found = scraped(service)
    counts = {
        tuple(dict(labels)[name] for name in ("method", "route", "status")): value
        for (name, labels), value in found.items()
        if name.endswith("request_duration_seconds_count")
    }
    assert counts == {
        ("GET", "/models/all", "2xx"): 2,
        ("GET", "/models/all", "4xx"): 1,
        ("HEAD", "/models/all", "2xx"): 1,
        ("GET", "/models/{model_name}/{model_version}/monitor/status", "2xx"): 2,
        ("GET", "unmatched", "4xx"): 2,
        ("PATCH", "unmatched", "4xx"): 1,
    }


def test_head_gives_the_headers_alone(service: Service) -> None:
    response = service.call("HEAD", "/metrics")
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_two_applications_in_one_process_count_for_themselves(start: Start) -> None:
    one, other = start(), start()
    one.get("/models/all")
    labels = {"route": "/models/all", "method": "GET"}
    assert figure(scraped(one), "request_duration_seconds_count", **labels, status="2xx") == 1
    assert not [key for key in scraped(other) if ("route", "/models/all") in key[1]]
