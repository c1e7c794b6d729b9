"""Reading what Prometheus would read."""

from prometheus_client.parser import text_string_to_metric_families

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def figures(text: bytes) -> Figures:
    """The samples of an exposition; none may come twice."""
    found: Figures = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def figure(found: Figures, name: str, /, **labels: str) -> float:
    """One sample, by its name without the prefix and its labels."""
    return found[f"control_tower_{name}", tuple(sorted(labels.items()))]
