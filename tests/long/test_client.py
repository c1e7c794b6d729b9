"""The Python client as a scoring job has it: installed by pip into an environment of its own, against a real tower."""

import json
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.servers import ROOT, Tower, clean_environment

CLIENT = ROOT / "client"
NAME = "credit risk"
# What pip may install beside the client: numpy, and requests with what that needs.
NEEDED = {"certifi", "charset-normalizer", "control-tower-client", "idna", "numpy", "requests", "urllib3"}
ALLOWED = NEEDED | {"pip", "setuptools"}
EXAMPLES = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)

# Rows, and a model as scikit-learn has them, by numpy alone.
WORLD = """
import sys
import numpy as np

class Model:
    def predict_proba(self, rows):
        p = 1 / (1 + np.exp(-(np.asarray(rows)[:, 0].astype(float) - 40) / 10))
        return np.stack([1 - p, p], axis=1)

    def predict(self, rows):
        return np.where(self.predict_proba(rows)[:, 1] > 0.5, "yes", "no")

def inputs(seed, many=1000):
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(40, 10, many).round(3), rng.integers(0, 3, many)], axis=1)

def scored_columns(rows):
    model = Model()
    said = {"said": model.predict(rows).tolist(), "probability": model.predict_proba(rows)[:, 1].tolist()}
    return {"age": rows[:, 0].tolist(), "region": rows[:, 1].tolist(), **said}

URL = sys.argv[1]
"""

FOUR_LINES = """
from control_tower_client import ControlTower

tower = ControlTower(URL)
reference = scored_columns(inputs(1, 3000))
true = [["no", "yes"][p > 0.4] for p in reference["probability"]]
tower.register("credit risk", 1)
tower.set_reference("credit risk", 1, reference | {"paid back": true}, prediction="said", score="probability",
                    label="paid back")

columns = scored_columns(inputs(2))
names = list(columns)
as_rows = [dict(zip(names, row)) for row in zip(*columns.values())]
table = np.array(list(zip(*columns.values())), dtype=object)
for kind, rows in {"columns": columns, "dicts": as_rows, "lists": table.tolist(), "array": table}.items():
    sent = tower.send_batch("credit risk", 1, rows, batch_id="the same", columns=names)
    assert sent["rows"] == 1000, sent
report = tower.data_drift("credit risk", 1)
assert report["batches"] == 1, report
print("counted once")
"""

README = """
import pandas as pd

class Frames(Model):
    def predict_proba(self, rows):
        return super().predict_proba(rows[["age", "region"]].to_numpy())

def frame(seed):
    return pd.DataFrame(inputs(seed), columns=["age", "region"])

model, rows = Frames(), frame(2)
tested = frame(1).assign(**{"said": model.predict(frame(1)), "probability": model.predict_proba(frame(1))[:, 1]})
tested["paid back"] = np.where(tested["probability"] > 0.4, "yes", "no")
"""

POLARS = """
import polars as pl

table = scored.to_dict("list")
again = tower.send_batch("credit risk", 3, pl.DataFrame(table), batch_id="2026-11-21")
assert again["rows"] == 1000, again
assert tower.data_drift("credit risk", 3)["batches"] == 1
print("counted once")
"""


class Environment:
    """A virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self._python = str(folder / "bin" / "python")

    def pip(self, *arguments: str) -> str:
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def run(self, *arguments: str) -> str:
        command = [self._python, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment(), cwd="/")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One into which pip has installed the client, and what that asks for."""
    folder = tmp_path_factory.mktemp("client")
    # pip would leave what it builds in the checkout.
    source = shutil.copytree(CLIENT, folder / "source")
    made = Environment(folder / "environment")
    made.pip("install", str(source))
    return made


@pytest.fixture(scope="module")
def credit_risk(mlflow_url: str, written_tower: Tower) -> Tower:
    """A tower over an MLflow that has three versions of that model."""
    from tests.contract.real_world import RealWorld

    for _ in range(3):
        RealWorld(mlflow_url).add_version(NAME)
    return written_tower


def test_a_scoring_job_with_numpy_and_requests_alone_sends_rows_of_every_kind(
    environment: Environment, credit_risk: Tower
) -> None:
    installed = {row["name"].replace("_", "-") for row in json.loads(environment.pip("list", "--format", "json"))}
    assert {"control-tower-client", "numpy", "requests"} <= installed <= ALLOWED
    assert environment.run("-c", WORLD + FOUR_LINES, credit_risk.url) == "counted once\n"


def test_the_examples_of_the_readme_do_what_they_say_with_pandas_and_polars(
    environment: Environment, credit_risk: Tower
) -> None:
    environment.pip("install", "pandas", "polars")
    four_lines, once = (text.replace('"https://tower.example.com", key="ct_…"', "URL") for text in EXAMPLES)
    connected, _, sent = four_lines.partition("scored =")
    # The reference comes first, once.
    program = "\n".join([WORLD, README, connected, once, f"scored ={sent}", POLARS])
    assert environment.run("-c", program, credit_risk.url) == "counted once\n"
