"""A monitored version to which data is sent: its address, its windows, and its rows."""

import random
from typing import Any

from app.domain.times import DAY_MS, rfc3339
from tests.api.service import Row, Service

NAME = "m with % and .."
PATH = "/models/m%20with%20%25%20and%20../1"
TODAY = 1_700_000_000_000 // DAY_MS * DAY_MS


def rows(count: int, seed: int, shift: float = 0.0, labels: bool = False) -> list[Row]:
    """Rows of a classifier of two classes whose score is the probability of the second."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        p = rng.random()
        row: Row = {
            "id": f"row-{seed}-{number}",
            "age": round(rng.gauss(40 + 10 * shift, 10), 3),
            "country": rng.choice(["de", "fr"]),
            "p": round(p, 6),
            "said": "yes" if p >= 0.5 else "no",
        }
        made.append(row | {"true": "yes" if rng.random() < p else "no"} if labels else row)
    return made


def day(number: int) -> dict[str, str]:
    """The window of a day, counted back from today."""
    start = TODAY - number * DAY_MS
    return {"window_start": rfc3339(start) or "", "window_end": rfc3339(start + DAY_MS) or ""}


def send(host: Service, body: Row, **more: Any) -> Any:
    return host.post(f"{PATH}/batches", json=body, **more)


def judge(host: Service) -> Row:
    """The report once everything that was sent is judged."""
    host.agent.data.judge.judge_now(NAME, 1)
    found: Row = host.get(f"{PATH}/data-drift").json
    return found
