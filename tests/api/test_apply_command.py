"""`flask monitor apply`, against a service that listens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from werkzeug.serving import make_server

from app.domain.monitoring.monitoring_rules import MOST_RULES
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryWorld
from tests.servers import start_serving

Run = Callable[..., Result]

FILE = """
rules:
  - name: live
    match: {stages: [production]}
    settings: {silence_hours: 48, baseline: {from: 2026-11-01T00:00:00Z, to: 2026-11-20T00:00:00Z}}
  - name: risk
    match:
      tags: {team: risk}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def run(service: Service, file: Path) -> Iterator[Run]:
    """Types the command while the service listens."""
    server = make_server("127.0.0.1", 0, service.app, threaded=True)
    start_serving(server)
    url = f"http://127.0.0.1:{server.server_port}/"
    words = ["monitor", "apply", str(file), "--url", url]
    yield lambda *more: service.app.test_cli_runner().invoke(args=[*words, *more])
    server.shutdown()
    server.server_close()


def shown(result: Result) -> list[str]:
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_the_rules_become_those_of_the_file_and_a_second_time_nothing_changes(
    run: Run, service: Service, world: MemoryWorld, file: Path
) -> None:
    service.post("/monitoring/rules", json={"name": "other", "match": {"name": "x"}})
    assert shown(run("--dry-run", "--prune")) == ["would make live", "would make risk", "would remove other"]
    assert [rule.name for rule in world.rules.values()] == ["other"]
    assert shown(run()) == ["made live", "made risk"]
    assert shown(run()) == ["Nothing to change."]
    file.write_text(FILE.replace("48", "24").replace("team: risk", "team:"))
    assert shown(run("--dry-run")) == ["would change live: settings", "would change risk: match"]
    assert shown(run("--prune")) == ["changed live: settings", "changed risk: match", "removed other"]
    assert shown(run("--prune")) == ["Nothing to change."]
    assert service.json("/monitoring/rules/risk")["match"] == {"tags": {"team": None}}


def test_a_file_takes_the_place_of_as_many_rules_as_there_may_be(run: Run, service: Service) -> None:
    for number in range(MOST_RULES):
        service.post("/monitoring/rules", json={"name": f"old-{number:03d}", "match": {"name": "x"}})
    changes = shown(run("--prune"))
    assert changes[:5] == ["removed old-000", "removed old-001", "made live", "made risk", "removed old-002"]
    assert [row["name"] for row in service.json("/monitoring/rules")] == ["live", "risk"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "line 1, column 9"),
        ("", "must be a mapping with rules"),
        ("rules: 5", "rules: Not a list."),
        ("rule: []", "'rule' is not known"),
        ("rules:\n- live", "line 2: must be a mapping"),
        (
            "rules:\n- name: a\n  match: {name: x}\n- name: b\n  match: {stages: [Live]}",
            "line 4: match.stages: must be",
        ),
        (
            "rules:\n- {name: a, match: {name: x}}\n- {name: a, match: {name: y}}",
            "line 3: name: there are two rules 'a'.",
        ),
        ("rules:\n- {name: a, match: {name: x, name: y}}", "line 2, column 30: the key 'name' is given twice."),
        ("rules:\n- {name: a, match: {tags: {5: x}}}", "texts as keys"),
        ("rules:\n- {name: a, match: {tags: {team: 5}}}", "line 2: match.tags.team: must be a text"),
        ("rules: !!python/object/apply:os.system [ls]", "line 1, column 8: could not determine a constructor"),
        ("rules: &a [*a]", "may be used"),
        ("[" * 1500, "Nested too deeply"),
        ("\x00", "Not readable as YAML"),
    ],
)
def test_a_bad_file_changes_nothing_and_the_place_is_named(
    run: Run, world: MemoryWorld, file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    result = run("--prune")
    assert (result.exit_code, result.stdout, world.rules) == (2, "", {})
    assert message in result.stderr
    assert str(file) in result.stderr


def test_a_service_that_fails_or_is_away_is_exit_code_1(run: Run, service: Service, file: Path, tmp_path: Path) -> None:
    service.gateway.locked = True
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "PUT /monitoring/rules/live: 503: " in result.stderr
    away = service.app.test_cli_runner().invoke(args=["monitor", "apply", str(file), "--url", "http://127.0.0.1:9"])
    assert (away.exit_code, "does not answer" in away.stderr) == (1, True)
    missing = service.app.test_cli_runner().invoke(args=["monitor", "apply", str(tmp_path / "nothing")])
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)


def test_the_access_key_is_sent_and_not_shown(
    start: Callable[..., Service], world: MemoryWorld, file: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    made = start(api_tokens_file=keys).app.test_cli_runner().invoke(args=["tokens", "new", "ci", "--role", "write"])
    token = made.stdout.splitlines()[-1]
    with_key = start(api_tokens_file=keys, control_tower_key=token)
    without = start(api_tokens_file=keys)
    server = make_server("127.0.0.1", 0, with_key.app, threaded=True)
    start_serving(server)
    words = ["monitor", "apply", str(file), "--url", f"http://127.0.0.1:{server.server_port}"]
    assert shown(with_key.app.test_cli_runner().invoke(args=words)) == ["made live", "made risk"]
    assert {rule.registered_by for rule in world.rules.values()} == {"ci"}
    refused = without.app.test_cli_runner().invoke(args=words)
    assert (refused.exit_code, "401" in refused.stderr) == (1, True)
    server.shutdown()
    server.server_close()
