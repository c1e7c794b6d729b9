"""A program that reads a JSON list of Apprise URLs, and writes the places, from 1, of those that cannot be used."""

import json
import logging
import sys

from apprise import Apprise


def main() -> None:
    # Apprise would log parts of a bad URL.
    logging.disable()
    urls = json.load(sys.stdin)
    bad = [place for place, url in enumerate(urls, 1) if Apprise.instantiate(url) is None]
    json.dump(bad, sys.stdout)


if __name__ == "__main__":
    main()
