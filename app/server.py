"""Running gunicorn from Python: `python wsgi.py` is the same application as `gunicorn wsgi:app`."""

import os
import sys
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication


class GunicornServer(WSGIApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with its configuration file; with `--reload`, its one worker loads the code, not the master."""

    def load_config(self) -> None:
        super().load_config()
        if self.cfg.reload:
            self.cfg.set("preload_app", False)
            self.cfg.set("workers", 1)


def serve(host: str, port: int, reload: bool) -> None:
    """Serve until stopped."""
    # gunicorn.conf.py and the application both read these.
    os.environ.update(API_HOST=host, API_PORT=str(port))
    configuration = Path(__file__).parents[1] / "gunicorn.conf.py"
    sys.argv = ["gunicorn", "wsgi:app", "--config", str(configuration)]
    sys.argv += ["--reload"] if reload else []
    GunicornServer("%(prog)s [OPTIONS] [APP_MODULE]").run()
