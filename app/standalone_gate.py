"""Whether a candidate may replace the baseline, as an exit code for CI: one file, which asks the service.

    curl -fsS https://tower.example.com/gate.py -o gate.py
    python3 gate.py --url https://tower.example.com wine-cultivar --baseline champion --candidate challenger

It needs Python 3.8 or later and nothing else. The environment variable TOWER_KEY may hold an access key. It exits 0 if
the candidate passes; 1 if it does not, or if the service does not answer; 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
from typing import Any, Sequence  # noqa: UP035 - Python 3.8 knows no other
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_COLUMNS = ("metric", "population", "method", "n", "baseline", "candidate", "difference", "non_inferior")
_ANSWERS = {True: "yes", False: "no", None: "-"}
_SECONDS = 120
_MOST_BYTES = 16 << 20
_OF_ARGUMENTS = re.compile(r"(margin|min|max|metric)\b")
_BAD_REQUEST = 400


class Failed(Exception):
    """No answer. `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class _NoRedirects(HTTPRedirectHandler):
    # A redirect could carry the access key to another host.
    def redirect_request(self, *_: Any) -> None:
        return None


def report(result: dict[str, Any]) -> list[str]:
    """The lines that say how a comparison came out, the last of them `pass` or `fail`."""
    candidate, baseline = _version(result["candidate"]), _version(result["baseline"])
    lines = [f"{printable(result['name'])}: {candidate} against {baseline}, margin {result['margin']:g}", ""]
    lines += _table([_COLUMNS, *([_cell(row[name]) for name in _COLUMNS] for row in result["metrics"])])
    lines += ["", *(f"{printable(row['metric'])}: {row['reason']}." for row in result["metrics"])]
    if result["non_inferior"] is None:
        lines.append("No answer: no metric counts, or one that counts cannot be compared.")
    return [*lines, "pass" if result["passes"] else "fail"]


def printable(text: str) -> str:
    """Names may hold any characters: those that would control a terminal are escaped as in Python."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def compared(url: str, name: str, query: Sequence[tuple[str, str]], key: str | None) -> dict[str, Any]:
    """What the service answers. Raises `Failed`."""
    address = f"{url.rstrip('/')}/model/{quote(name, safe='')}/compare?{urlencode(query)}"
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    outcome: list[dict[str, Any] | Failed] = []
    work = threading.Thread(target=lambda: outcome.append(_asked(address, headers)), daemon=True)
    work.start()
    # The limit of a socket is for each read: a server that drips bytes would hold CI for ever.
    work.join(_SECONDS)
    result = outcome[0] if outcome else Failed(f"The service did not answer within {_SECONDS} s.")
    if isinstance(result, Failed):
        raise result
    return result


def main(words: Sequence[str] | None = None) -> int:
    """Ask the service, print the answer, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare two versions of a registered model.", allow_abbrev=False)
    parser.add_argument("name", help="registered model")
    parser.add_argument("--url", default=os.environ.get("TOWER_URL"), help="address of the service  [TOWER_URL]")
    parser.add_argument("--baseline", required=True, help="version or alias to compare against")
    parser.add_argument("--candidate", required=True, help="version or alias that may replace it")
    for option, form, what in (
        ("margin", "[METRIC=]NUMBER", "how much worse the candidate may be, in all metrics or in one"),
        ("min", "METRIC=NUMBER", "what the candidate's value has to be at least"),
        ("max", "METRIC=NUMBER", "what the candidate's value may be at most"),
        ("metric", "METRIC", "compare this metric; by default all"),
    ):
        parser.add_argument(f"--{option}", action="append", default=[], metavar=form, help=f"{what}; may be repeated")
    given = parser.parse_args(words)
    if not given.url or urlsplit(given.url).scheme not in ("http", "https"):
        parser.error("--url (or TOWER_URL) must be the http:// or https:// address of the service")
    texts = (given.name, given.baseline, given.candidate, *given.margin, *given.min, *given.max, *given.metric)
    if any("\ud800" <= sign <= "\udfff" for text in texts for sign in text):
        parser.error("not valid UTF-8")
    query = [("baseline", given.baseline), ("candidate", given.candidate)]
    query += [(name, value) for name in ("margin", "min", "max", "metric") for value in getattr(given, name)]
    try:
        result = compared(given.url, given.name, query, os.environ.get("TOWER_KEY"))
        lines = report(result)
    except Failed as error:
        return _failed(str(error), error.code)
    except (KeyError, TypeError, ValueError):
        return _failed("The address answers something else than a comparison. Is it that of the service?", 1)
    sys.stdout.write("\n".join([*lines, ""]))
    return 0 if result["passes"] is True else 1


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"Error: {printable(message)}\n")
    return code


def _asked(address: str, headers: dict[str, str]) -> dict[str, Any] | Failed:
    try:
        request = Request(address, headers=headers)  # noqa: S310 - the address is the caller's own
        with build_opener(_NoRedirects).open(request, timeout=_SECONDS) as answer:
            result: dict[str, Any] = json.loads(answer.read(_MOST_BYTES))
            return result
    except HTTPError as error:
        detail = _detail(error)
        is_usage = error.code == _BAD_REQUEST and _OF_ARGUMENTS.match(detail)
        return Failed(detail or f"The service answered with HTTP {error.code}.", 2 if is_usage else 1)
    except URLError as error:
        return Failed(f"The service cannot be reached: {error.reason}")
    except (OSError, ValueError) as error:
        return Failed(f"The service gave no answer that can be read: {type(error).__name__}")


def _detail(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MOST_BYTES))["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _version(side: dict[str, Any]) -> str:
    return f"version {side['version']}" + (f" ({printable(side['alias'])})" if side["alias"] else "")


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _ANSWERS[value]
    return f"{value:.5g}" if isinstance(value, float) else printable(str(value))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(widths[place]) for place, cell in enumerate(row)).rstrip() for row in rows]


if __name__ == "__main__":
    sys.exit(main())
