"""The command `flask monitor apply FILE`: makes the monitoring rules of a running service those of a YAML file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson
import yaml
from flask.cli import AppGroup
from pydantic import SecretStr

from app.domain.errors import InvalidInput
from app.domain.monitoring.monitoring_rules import MOST_RULES, MonitoringRule, matcher_info, wanted_rule
from app.running_service import RunningService

_MOST_BYTES = 1 << 20
_RULES = "/monitoring/rules"
_PARTS = ("match", "model_type", "settings")


class BadFile(click.ClickException):
    """The file is not what it has to be."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class RuleStep:
    """What has to be done about a rule: `method` and `path` of the request, its body, and what it does, in words."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    done: str
    planned: str


def monitor_commands(port: int, key: SecretStr | None) -> AppGroup:
    """Build the commands. They ask a running service, at `port` of this machine unless they are given its address.

    `key` is the access key that they send.
    """
    group = AppGroup("monitor", help="Monitoring rules of a running service.")

    @group.command("apply")
    @click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--url", default=f"http://localhost:{port}", show_default=True, help="Address of the service.")
    @click.option("--prune", is_flag=True, help="Remove rules that the file lacks.")
    @click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
    def apply(path: Path, url: str, prune: bool, dry_run: bool) -> None:
        """Make the monitoring rules those of FILE, with the access key CONTROL_TOWER_KEY. Shows a line per change.

        Exits 2 if the file is bad; then nothing is done. Exits 1 if the service fails.
        """
        wanted = read_rules(path)
        service = RunningService(url, key)
        changes = list(_changes(wanted, _rules_of(service), prune))
        for change in changes:
            if not dry_run:
                service.ask(change.method, change.path, change.body)
            click.echo(change.planned if dry_run else change.done)
        if not changes:
            click.echo("Nothing to change.")

    return group


def read_rules(path: Path) -> list[MonitoringRule]:
    """The rules of a file. Raises `BadFile`, which names the place."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}.") from None
    if len(content) > _MOST_BYTES:
        raise BadFile(f"{path}: more than 1 MiB.")
    try:
        given, lines = _parsed(content)
        listed = _only(given, ("rules",), "").get("rules")
        if not isinstance(listed, list):
            raise InvalidInput("rules: Not a list.")
        rules: dict[str, MonitoringRule] = {}
        for number, row in enumerate(listed):
            place = f"line {lines[number]}: "
            fields = _only(row, ("name", *_PARTS), place)
            match, model_type, settings = (fields.get(part) for part in _PARTS)
            rule = wanted_rule(fields.get("name"), match, model_type, settings, "", 0, place)
            if rules.setdefault(rule.name, rule) is not rule:
                raise InvalidInput(f"{place}name: there are two rules {rule.name!r}.")
    except InvalidInput as error:
        raise BadFile(f"{path}: {error.detail}") from None
    return list(rules.values())


def _rules_of(service: RunningService) -> dict[str, Any]:
    """The rules that the service has, by name."""
    rows: list[Any] = []
    page: int | None = 1
    while page is not None:
        answer = service.ask("GET", f"{_RULES}?page={page}")
        rows += answer.json()
        page = orjson.loads(answer.headers["X-Pagination"]).get("next_page")
    return {row["name"]: row for row in rows}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML whose times stay texts, and whose keys are not given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parsed(content: bytes) -> tuple[Any, list[int]]:
    """The content of a file as plain JSON, and the line at which each of its rules begins. Raises `InvalidInput`."""
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
        given = loader.construct_document(node) if node is not None else None
        return orjson.loads(orjson.dumps(given)), list(_lines(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InvalidInput(f"{place}{error.problem or error}.") from None
    except RecursionError:
        raise InvalidInput("Nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        # The first line says what is wrong; others quote the content.
        raise InvalidInput(f"Not readable as YAML: {str(error).splitlines()[0]}.") from None
    except TypeError:
        raise InvalidInput("Only mappings with texts as keys, lists, texts and numbers may be used.") from None


def _lines(node: Any) -> Iterator[int]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == "rules" and isinstance(value, yaml.SequenceNode):
            yield from (item.start_mark.line + 1 for item in value.value)


def _only(value: Any, allowed: Sequence[str], place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{place}must be a mapping with {', '.join(allowed)}.")
    unknown = [name for name in value if name not in allowed]
    if unknown:
        raise InvalidInput(f"{place}{unknown[0][:60]!r} is not known. Use {', '.join(allowed)}.")
    return value


def _changes(wanted: Sequence[MonitoringRule], present: Mapping[str, Any], prune: bool) -> Iterator[RuleStep]:
    """The changes in an order in which each is possible, and versions stay monitored that a new rule covers instead."""
    names = {rule.name for rule in wanted}
    gone = [
        RuleStep("DELETE", f"{_RULES}/{quote(name, safe='')}", None, f"removed {name}", f"would remove {name}")
        for name in (sorted(present.keys() - names) if prune else ())
    ]
    too_many = max(0, len(present.keys() | names) - MOST_RULES)
    yield from gone[:too_many]
    for rule in wanted:
        path = f"{_RULES}/{quote(rule.name, safe='')}"
        body = {"match": matcher_info(rule.match), "model_type": rule.model_type, "settings": dict(rule.settings)}
        known = present.get(rule.name)
        if known is None:
            yield RuleStep("PUT", path, body, f"made {rule.name}", f"would make {rule.name}")
        elif other := [part for part in _PARTS if known.get(part) != body[part]]:
            what = f"{rule.name}: {', '.join(other)}"
            yield RuleStep("PUT", path, body, f"changed {what}", f"would change {what}")
    yield from gone[too_many:]
