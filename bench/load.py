"""Load: wrk for rates, and paced requests whose delay counts from when they were due."""

import http.client
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit


def rate(url: str, *headers: str, seconds: int = 3) -> float:
    """Requests a second that 32 connections get."""
    return float(_told(r"Requests/sec:\s+([\d.]+)", url, headers, seconds))


def answered(url: str, *headers: str, seconds: int = 1) -> int:
    """How many requests 32 connections get answered in so many seconds."""
    return int(_told(r"(\d+) requests in", url, headers, seconds))


def _told(pattern: str, url: str, headers: tuple[str, ...], seconds: int) -> str:
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s"]
    for header in headers:
        command += ["-H", header]
    told = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    found = re.search(pattern, told)
    assert found is not None, told
    assert "Non-2xx" not in told, told
    return found.group(1)


def delays(url: str, busy: Callable[[], bool], a_second: int = 100, connections: int = 8) -> list[float]:
    """Seconds from when each request was due to its last byte, for as long as `busy` says."""
    parts, found, lock = urlsplit(url), [], threading.Lock()
    began = time.perf_counter()

    def one(number: int) -> None:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        due = began + number / a_second
        while busy():
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("GET", parts.path)
            connection.getresponse().read()
            with lock:
                found.append(time.perf_counter() - due)
            due += connections / a_second

    threads = [threading.Thread(target=one, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def for_seconds(seconds: float) -> Callable[[], bool]:
    """A `busy` that lasts so long."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98]
