"""The OpenAPI document and the running service, which Schemathesis compares."""

import os
import subprocess
import sys
from pathlib import Path

from app.services.mlflow_gateway.store import ensure_store
from tests.seeding import seed as seed_store
from tests.seeding import seed_monitored
from tests.servers import tower, without_coverage


def test_the_running_service_does_what_its_openapi_document_says(tmp_path: Path) -> None:
    compare(tmp_path, forked=True, phases="examples,coverage,fuzzing", examples=15, seed=1)


def compare(folder: Path, *, forked: bool, phases: str, examples: int, seed: int) -> None:
    """Have Schemathesis ask a service for what its document allows, and for what it does not."""
    # A few models: with many, most of the time goes into refreshes that Schemathesis asks for.
    store = folder / "mlflow.db"
    ensure_store(f"sqlite:///{store}")
    seed_store(store, models=5)
    seed_monitored(store, versions=3)
    with tower(folder, f"sqlite:///{store}", workers=4, forked=forked) as running:
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{running.url}/openapi.json",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--max-examples", str(examples), "--phases", phases, "--seed", str(seed),
            "--suppress-health-check", "all", "--request-timeout", "30",
        ]  # fmt: skip
        done = subprocess.run(
            command, check=False, cwd=folder, env=without_coverage(os.environ), capture_output=True, text=True,
            timeout=3600,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
