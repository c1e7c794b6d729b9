"""MLflow's client, imported as the agent does it: in a process that has imported nothing of it before."""

import json
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, clean_environment

_READS = """
import json, sys
from app.services.mlflow_gateway.gateway import MlflowGateway
gateway = MlflowGateway.connect(sys.argv[1], monitoring_experiment="control-tower", clock=lambda: 0)
gateway.ping()
unused = {"numpy", "pandas", "pyarrow", "scipy", "fastapi", "mlflow.genai", "mlflow.gateway"}
print(json.dumps(sorted(unused & set(sys.modules))))
import numpy, pyarrow, mlflow.genai.judges, mlflow.gateway.config
print("imported later")
"""


def loaded(uri: str) -> set[str]:
    """What a process has of all that it could do without, once it has read MLflow."""
    command = [sys.executable, "-c", _READS, uri]
    shown = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    has, last = shown.stdout.splitlines()
    assert last == "imported later"
    return set(json.loads(has))


def test_a_process_that_reads_a_server_has_no_library_for_data_or_language_models_and_can_still_import_one(
    mlflow_url: str,
) -> None:
    assert loaded(mlflow_url) == set()


def test_a_process_that_reads_a_database_has_no_library_for_data_and_can_still_import_one(sqlite_uri: str) -> None:
    # MLflow's own store needs the rest.
    assert loaded(sqlite_uri) == {"fastapi", "mlflow.genai", "mlflow.gateway"}


_MAKES_A_STORE = """
import logging, logging.config, sys
from app.logs import logging_config
from app.services.mlflow_gateway.store import ensure_store
logging.config.dictConfig(logging_config("INFO", "json"))
ensure_store(sys.argv[1])
logging.getLogger("mlflow.tracking").warning("Look at http://ada:secret@mlflow.example.com")
"""


def test_what_mlflow_logs_has_the_format_of_the_service_and_no_credentials(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAKES_A_STORE, f"sqlite:///{tmp_path}/mlflow.db"]
    shown = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    lines = [json.loads(line)["message"] for line in shown.stderr.splitlines()]
    assert lines[-1] == "Look at http://***@mlflow.example.com"
