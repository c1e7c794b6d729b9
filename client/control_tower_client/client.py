"""The calls to a Control Tower. Each is sent again after a failure, and counts once."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from control_tower_client.canonical import text_of
from control_tower_client.counting import counts_of
from control_tower_client.frames import columns_of

Json = dict[str, Any]
_AGAIN = (429, 500, 502, 503, 504)
_CONFLICT = 409
_MISSING = 404
_LONGEST_PAUSE = 30.0
_REGISTERED = "Model is already being monitored"


class TowerError(Exception):
    """A refusal: its HTTP `status`, None if there was no answer, and what is wrong.

    `was_again`: the request had been sent before, and failed.
    """

    def __init__(self, status: int | None, detail: str, *, was_again: bool = False) -> None:
        super().__init__(detail if status is None else f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.was_again = was_again


class ControlTower:
    """A Control Tower at an address such as `https://tower.example.com`, with an access key where it has keys.

    A request waits `timeout` seconds for an answer. After a failure that may pass it is sent again, up to `retries`
    times.

    >>> tower = ControlTower("http://localhost:8000")
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 90, retries: int = 4) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url: must begin with http:// or https:// and have a host")
        self._url = url.rstrip("/")
        # Errors end up in logs, where no password may be.
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._timeout = timeout
        self._retries = retries
        self._session = requests.Session()
        if key is not None:
            self._session.headers["Authorization"] = f"Bearer {key}"
        self._references: dict[tuple[str, str], Json] = {}

    def register(
        self,
        name: str,
        version: str | int,
        model_type: str = "classifier",
        settings: Mapping[str, Any] | None = None,
    ) -> Json:
        """Have a model version monitored, as a `classifier` or a `regressor`.

        >>> tower.register("credit risk", 3)["model_type"]
        'classifier'
        """
        body: Json = {"model_type": model_type} | ({"settings": dict(settings)} if settings else {})
        path = self._path(name, version, "monitor")
        try:
            return self._ask("POST", path, body)
        except TowerError as error:
            if not (error.was_again and error.detail == _REGISTERED):
                raise
        # The first try registered it, and its answer was lost.
        return self._ask("GET", path)

    def observe(
        self,
        name: str,
        version: str | int,
        metrics: Mapping[str, float],
        *,
        timestamp: datetime | str | None = None,
        n: int | None = None,
        observation_id: str | None = None,
    ) -> Json:
        """Send values of metrics that were computed elsewhere; `n` is the number of cases behind them.

        >>> tower.observe("credit risk", 3, {"accuracy": 0.93}, n=500)["accepted"]
        1
        """
        # A figure may be numpy's.
        values = {metric: value.item() if hasattr(value, "item") else value for metric, value in metrics.items()}
        body: Json = {"metrics": values, "id": observation_id or uuid.uuid4().hex}
        body |= {} if timestamp is None else {"timestamp": _moment(timestamp)}
        body |= {} if n is None else {"n": n}
        return self._ask("POST", self._path(name, version, "observations"), body)

    def verdict(self, name: str, version: str | int) -> Json:
        """The verdict on a monitored version, with its reasons.

        >>> tower.verdict("credit risk", 3)["verdict"]
        'insufficient_data'
        """
        return self._ask("GET", self._path(name, version, "monitor"))

    def set_reference(
        self,
        name: str,
        version: str | int,
        rows: Any,
        *,
        columns: Sequence[str] | None = None,
        prediction: str | None = None,
        score: str | None = None,
        label: str | None = None,
        segments: Sequence[str] = (),
        kinds: Mapping[str, str] | None = None,
    ) -> Json:
        """Send the rows with which data is compared from now on; 100,000 are enough. Only counts of them are kept.

        `kinds` says of columns that they are `numeric`, `categorical` or `ignore`. Of those to `ignore` no value is
        looked at. The answer's `layout` shows what each was taken for.

        >>> roles = {"prediction": "said", "score": "probability", "label": "paid back"}
        >>> reference = tower.set_reference("credit risk", 3, rows, **roles)
        >>> reference["layout"]["columns"]["age"]["kind"]
        'numeric'
        """
        many, names, by_name = columns_of(rows, columns, lambda name: (kinds or {}).get(name) != "ignore")
        nothing = [None] * many
        in_rows = zip(
            *(_texts_or_numbers(by_name[name]) if name in by_name else nothing for name in names), strict=True
        )
        lines = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in in_rows)
        query: Json = {"prediction": prediction, "score": score, "label": label, "segment": list(segments)}
        for column, kind in (kinds or {}).items():
            query.setdefault(kind, []).append(column)
        self._references.pop((name, str(version)), None)
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        path = self._path(name, version, "reference")
        return self._ask("PUT", path, gzip.compress(lines.encode(), 6), query=query, headers=headers)

    def reference(self, name: str, version: str | int) -> Json:
        """The reference by which rows are counted: its `layout` has the bins. It is asked for once.

        >>> tower.reference("credit risk", 3)["layout"]["prediction"]
        'said'
        """
        key = name, str(version)
        if key not in self._references:
            self._references[key] = self._ask("GET", self._path(name, version, "reference"))
        return self._references[key]

    def send_batch(
        self,
        name: str,
        version: str | int,
        rows: Any,
        *,
        columns: Sequence[str] | None = None,
        label: str | None = None,
        window_start: datetime | date | str | None = None,
        window_end: datetime | date | str | None = None,
        batch_id: str | None = None,
    ) -> Json:
        """Count what a version saw and said in a window, by default today (UTC), and send the counts.

        What is sent twice with one `batch_id` counts once.

        >>> tower.send_batch("credit risk", 3, rows, batch_id="2026-11-21")["rows"]
        1000
        """
        return self._send("batches", name, version, rows, columns, label, window_start, window_end, batch_id)

    def send_labels(
        self,
        name: str,
        version: str | int,
        rows: Any,
        *,
        columns: Sequence[str] | None = None,
        label: str | None = None,
        window_start: datetime | date | str | None = None,
        window_end: datetime | date | str | None = None,
        batch_id: str | None = None,
    ) -> Json:
        """Send labels that came later: rows of prediction, score and label. Their inputs are not counted again.

        >>> tower.send_labels("credit risk", 3, rows, label="paid back", batch_id="labels 2026-11-21")["labelled_rows"]
        1000
        """
        return self._send("labels", name, version, rows, columns, label, window_start, window_end, batch_id)

    def withdraw_batch(self, name: str, version: str | int, batch_id: str, *, reference: str | None = None) -> Json:
        """Have a batch, or labels, no longer count. `reference` is the id of an earlier one that counted it.

        >>> tower.withdraw_batch("credit risk", 3, "2026-11-21")["rows"]
        1000
        """
        query = None if reference is None else {"reference": reference}
        return self._ask("DELETE", self._path(name, version, "batches", batch_id), query=query)

    def data_drift(self, name: str, version: str | int, days: int = 90) -> Json:
        """What moved in the data of a version, window by window, and how good it probably is.

        >>> isinstance(tower.data_drift("credit risk", 3, days=30)["sentence"], str)
        True
        """
        return self._ask("GET", self._path(name, version, "data-drift"), query={"days": days})

    def _send(
        self,
        what: str,
        name: str,
        version: str | int,
        rows: Any,
        columns: Sequence[str] | None,
        label: str | None,
        window_start: datetime | date | str | None,
        window_end: datetime | date | str | None,
        batch_id: str | None,
    ) -> Json:
        body: Json = {"batch_id": batch_id or uuid.uuid4().hex}
        for field, moment in (("window_start", window_start), ("window_end", window_end)):
            body |= {} if moment is None else {field: _moment(moment)}
        reference = self.reference(name, version)
        try:
            return self._counted(what, name, version, rows, columns, label, body, reference)
        except TowerError as error:
            self._references.pop((name, str(version)), None)
            newer = self.reference(name, version) if error.status == _CONFLICT else reference
            if newer["id"] == reference["id"]:
                raise
        # There is a new reference, by which the same rows have other counts.
        return self._counted(what, name, version, rows, columns, label, body, newer)

    def _counted(
        self,
        what: str,
        name: str,
        version: str | int,
        rows: Any,
        columns: Sequence[str] | None,
        label: str | None,
        body: Json,
        reference: Json,
    ) -> Json:
        only_labels = what == "labels"
        counts = counts_of(rows, reference["layout"], columns=columns, label=label, labels_only=only_labels)
        return self._ask(
            "POST", self._path(name, version, what), body | {"counts": counts, "reference": reference["id"]}
        )

    def _path(self, name: str, version: str | int, *parts: str) -> str:
        return "/".join(["", "models", *(quote(part, safe="") for part in (name, str(version), *parts))])

    def _ask(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        query: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        if isinstance(body, dict):
            body, headers = json.dumps(body, allow_nan=False).encode(), {"Content-Type": "application/json"}
        failure = TowerError(None, "")
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(_LONGEST_PAUSE, float(2 ** (attempt - 1))))
            try:
                answer = self._session.request(
                    method, self._url + path, data=body, params=query, headers=headers, timeout=self._timeout
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                failure = TowerError(None, f"{self._shown} does not answer: {type(error).__name__}")
                continue
            except requests.RequestException as error:
                failure = TowerError(None, f"{self._shown} cannot be asked: {type(error).__name__}")
                break
            if answer.ok:
                return self._body(answer)
            failure = TowerError(answer.status_code, _detail(answer), was_again=attempt > 0)
            if answer.status_code not in _AGAIN:
                break
        raise failure

    def _body(self, answer: requests.Response) -> Json:
        try:
            body: Json = answer.json()
        except ValueError:
            raise TowerError(answer.status_code, f"{self._shown} answers no JSON: is it a Control Tower?") from None
        return body


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason or "no reason was given"


def _moment(value: datetime | date | str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _texts_or_numbers(values: Any) -> list[Any]:
    """A column's values as JSON: what is no number as the text that the service reads as the same value."""
    if not isinstance(values, tuple):
        return [None if number != number else _finite(number) for number in values.tolist()]  # noqa: PLR0124 - NaN
    distinct = [_finite(value) if isinstance(value, float) else text_of(value) for value in values[1]]
    return [distinct[place] for place in values[0].tolist()]


def _finite(number: float) -> float | str:
    return number if abs(number) != float("inf") else str(number)
