"""MLflow's client, imported as the agent does it: in a process that has imported nothing of it before."""

import subprocess
import sys

from tests.servers import ROOT, clean_environment

_READS = """
import sys
from app.services.mlflow_gateway.gateway import MlflowGateway
gateway = MlflowGateway.connect(sys.argv[1], monitoring_experiment="control-tower", clock=lambda: 0)
gateway.ping()
data = {"numpy", "pandas", "pyarrow", "scipy"}
print(sorted(data & set(sys.modules)))
import numpy, pyarrow
print("imported later")
"""


def test_a_process_that_reads_mlflow_has_no_library_for_data_and_can_still_import_one(sqlite_uri: str) -> None:
    command = [sys.executable, "-c", _READS, sqlite_uri]
    shown = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["[]", "imported later"]
