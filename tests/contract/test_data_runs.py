"""What counted data relies on: runs of a version with their tags, read back as written, also by another process."""

import pytest

from app.domain.data_drift.series import (
    MOST_TAGS,
    About,
    StoredBatch,
    batch_tags,
    compressed,
    in_requests,
    series_from,
    series_tags,
    withdrawal_tags,
)
from tests.contract.test_gateway_contract import ODD_NAMES, Case, in_memory, real


@pytest.fixture(params=["memory", "sqlite", "http"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return in_memory()
    return real(request.getfixturevalue("sqlite_uri" if request.param == "sqlite" else "mlflow_url"))


@pytest.mark.parametrize("name", [ODD_NAMES[0], "name / with % and Größe 🧬"])
def test_what_was_counted_of_a_version_is_read_back_as_written(case: Case, name: str) -> None:
    gateway = case.gateway
    assert list(gateway.data_series(name, 1)) == list(gateway.open_data_series()) == []
    about = About(name, 1, 7, 8, "ada", True)
    counts = compressed({"rows": 3, "cells": list(range(60_000))})
    run_id = gateway.make_data_series(name, 1, {})
    other = gateway.make_data_series(name, 2, {})
    for tags in in_requests(series_tags(about, counts, counts)):
        gateway.write_data(run_id, tags, {"control_tower.moved_inputs": (2.0, 1_700_000_000_000)})
    batch = StoredBatch("batch/é", 0, 86_400_000, 3, 9, "digest", counts)
    requests = in_requests(batch_tags(batch))
    assert len(requests[0]) <= MOST_TAGS
    for tags in [*requests, *requests, withdrawal_tags("batch/é", 10, "ada")]:
        gateway.write_data(run_id, tags, {})
    gateway.end_data_series(other)
    (run,) = gateway.data_series(name, 1)
    series = series_from(run)
    assert series is not None
    assert (series.about, series.layout, series.reference) == (about, counts, counts)
    assert series.batches["batch/é"].body == counts
    assert series.counted == []
    assert [found.run_id for found in gateway.open_data_series()] == [run_id]
    assert not gateway.data_series(name, 2)[0].is_open
