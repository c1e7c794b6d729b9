"""The addresses of Apprise, checked by Apprise itself in a process that ends: it weighs tens of megabytes."""

import json
import re
import subprocess
import sys
from pathlib import Path

from app.domain.errors import InvalidInput


def alert_urls(text: str) -> list[str]:
    """The addresses in a setting, separated by commas or blanks before the next scheme."""
    return [url.rstrip(", \t\n") for url in re.split(r"[,\s]+(?=[A-Za-z0-9]+://)", text.strip()) if url.strip(", ")]


def refuse_bad_urls(urls: list[str]) -> None:
    """Raise `InvalidInput`, without the address, where Apprise does not understand one."""
    if not urls:
        return
    told = subprocess.run(
        [sys.executable, "-m", "app.services.alerts.urls"],
        cwd=Path(__file__).parents[3],
        input=json.dumps(urls),
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if told:
        raise InvalidInput(f"address {told} of {len(urls)} is none that Apprise understands (appriseit.com)")


def main() -> None:
    """Say which of the addresses on standard input is the first bad one, counted from 1."""
    import apprise  # noqa: PLC0415

    for number, url in enumerate(json.load(sys.stdin), 1):
        if not apprise.Apprise().add(url):
            sys.stdout.write(str(number))
            return


if __name__ == "__main__":
    import logging

    # Apprise says on standard error what is wrong with an address, and repeats it.
    logging.disable(logging.CRITICAL)
    main()
