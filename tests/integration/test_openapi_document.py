"""The OpenAPI document and the running service, which Schemathesis compares."""

import os
import subprocess
import sys
from pathlib import Path

from app.services.mlflow_gateway.store import ensure_store
from tests.seeding import seed, seed_monitored
from tests.servers import tower, without_coverage


def test_the_running_service_does_what_its_openapi_document_says(tmp_path: Path) -> None:
    # A few models: with many, most of the time goes into refreshes that Schemathesis asks for.
    store = tmp_path / "mlflow.db"
    ensure_store(f"sqlite:///{store}")
    seed(store, models=5)
    seed_monitored(store, versions=3)
    with tower(tmp_path, f"sqlite:///{store}") as running:
        done = schemathesis(f"{running.url}/openapi.json", tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def schemathesis(document: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", document,
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--max-examples", "15", "--phases", "examples,coverage,fuzzing", "--seed", "1",
        "--suppress-health-check", "all", "--request-timeout", "30",
    ]  # fmt: skip
    return subprocess.run(
        command, check=False, cwd=folder, env=without_coverage(os.environ), capture_output=True, text=True, timeout=1200
    )
