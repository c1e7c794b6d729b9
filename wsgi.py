"""The application for gunicorn (`gunicorn wsgi:app`), and the command line (`python wsgi.py --help`)."""

import argparse
import json
import sys

from app.factory import create_app
from app.server import serve
from app.wiring.worker import public_config
from config import API_VERSION, RELEASE, load_settings


def main() -> None:
    """Serve with gunicorn, or show the configuration or the version."""
    parser = argparse.ArgumentParser(description="MLOps Control Tower")
    parser.add_argument("--host", help="address to listen on (API_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (API_PORT)")
    parser.add_argument("--reload", action="store_true", help="restart when the code changes")
    parser.add_argument("--config", action="store_true", help="show the configuration and exit")
    parser.add_argument(
        "--version",
        action="version",
        version=f"MLOps Control Tower {RELEASE} (API {API_VERSION})",
        help="show the version of the service and of its API, and exit",
    )
    given = parser.parse_args()
    overrides = {"api_host": given.host, "api_port": given.port}
    settings = load_settings(**{name: value for name, value in overrides.items() if value is not None})
    if given.config:
        sys.stdout.write(json.dumps(public_config(settings), indent=2) + "\n")
        return
    serve(settings.api_host, settings.api_port, given.reload)


if __name__ == "__main__":
    main()
else:
    app = create_app()
