"""The temporary directories of a gunicorn."""

import os
import subprocess
import sys
from pathlib import Path

WRITER = """
import threading
from pathlib import Path
from app.services.host.temporary_directory import end_without_leftovers

def write():
    for number in range(1_000_000):
        Path("control-tower-run-1").mkdir(exist_ok=True)
        Path("control-tower-run-1", str(number)).touch()

for _ in range(4):
    threading.Thread(target=write).start()
end_without_leftovers()
"""


def test_a_process_that_ends_while_its_threads_write_leaves_no_directory(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", WRITER], cwd=tmp_path, env=env, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
