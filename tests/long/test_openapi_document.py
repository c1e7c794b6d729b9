"""What a service answers to a hundred random requests of each kind, others at each run."""

import secrets
from pathlib import Path

from tests.integration.test_openapi_document import compare


def test_the_running_service_does_what_its_openapi_document_says_whatever_the_chance(tmp_path: Path) -> None:
    seed = secrets.randbelow(1 << 31)
    print(f"seed {seed}")
    compare(tmp_path, forked=False, phases="fuzzing", examples=100, seed=seed)
