"""The metric history of a version, day by day, against the plainest way to say the same."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.judging import judge_registration
from app.domain.registry.models import MetricPoint, ModelVersion, Registration, TrackedModel
from app.domain.times import DAY_MS, rfc3339
from app.domain.views import drift_info

MODEL = TrackedModel(ModelVersion("m", 3, "None", 0, 0), (), "Staging", "alias", None)
_points = st.lists(
    st.builds(
        MetricPoint,
        st.just("run"),
        st.sampled_from(["a", "b", "date"]),
        st.integers(0, 5 * DAY_MS) | st.sampled_from([DAY_MS - 1, DAY_MS, 2 * DAY_MS]),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=12,
    unique_by=lambda point: (point.metric, point.time),
)


@given(_points, st.integers(0, 5 * DAY_MS), st.integers(0, 5 * DAY_MS))
def test_each_day_with_points_in_the_window_has_the_last_value_of_each_metric(
    points: list[MetricPoint], since: int, until: int
) -> None:
    inside = [p for p in points if since <= p.time <= until]
    expected = []
    for day in sorted({p.time // DAY_MS for p in inside}):
        of_day = sorted((p for p in inside if p.time // DAY_MS == day), key=lambda p: p.time)
        values = {p.metric: p.value for p in of_day if p.metric != "date"}
        expected.append({"date": rfc3339(day * DAY_MS), **values})
    registration = Registration("m", 3, "", "", 0, "", 0)
    judged = (*judge_registration(registration, {("m", 3): points}, until), registration)
    found = drift_info(MODEL, judged, since, until)
    if not inside:
        assert found is None
    else:
        assert found is not None
        assert (found["version"], found["stage"]) == ("3", "Staging")
        assert found["metrics_over_time"] == expected
