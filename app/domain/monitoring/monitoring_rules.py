"""Monitoring rules: every version that matches a rule is monitored, except those that somebody excluded from it."""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson

from app.domain.errors import InvalidInput
from app.domain.monitoring.check_settings import merged
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion, RegisteredModel, TrackedModel, VersionKey
from app.domain.registry.names import LONGEST_NAME, LONGEST_TAG
from app.domain.registry.stages import MODEL_TYPES, STAGES, stage_named

RULE = "rule"
"""The kind of what covers a version, beside those of watches."""
MOST_RULES = 100
"""How many rules there may be: each is compared with every version whenever the registry changes."""

_NAME = re.compile(r"[^\W_](?:[\w.\- ]{0,98}[\w.\-])?\Z")
# How many stages, aliases or tags a rule may name.
_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which versions match: those for which every part that is given holds.

    A version is in one of the `stages` and has one of the `aliases`. It, or its registered model, has each of the
    `tags`, with that value unless the value is None. The name of the registered model fits the pattern `name`.
    """

    stages: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str | None] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A version that a rule does not cover although it matches, who excluded it, and when; times in milliseconds.

    `version_created` is the creation time of the version, so that another version of that number is not excluded.
    """

    model: str
    version: int
    version_created: int
    excluded_by: str
    excluded_at: int

    @property
    def key(self) -> VersionKey:
        return self.model, self.version

    def is_of(self, row: ModelVersion) -> bool:
        """Whether it is about this version, and not about a deleted version of the same number."""
        same = self.version_created == row.created or min(self.version_created, row.created) <= 0
        return same and self.key == (row.name, row.version)


@dataclass(frozen=True, slots=True)
class MonitoringRule:
    """A rule: an open run in MLflow. `registered_at` in milliseconds.

    `model_type` is what a version is registered as whose own type is not known.
    """

    name: str
    match: Matcher
    model_type: str
    registered_by: str
    registered_at: int
    run_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    excluded: tuple[Exclusion, ...] = ()

    @property
    def kind(self) -> str:
        return RULE

    @property
    def label(self) -> str:
        """The rule as a monitor run and a reason name it."""
        return rule_label(self.name)

    def excludes(self, row: ModelVersion) -> bool:
        return any(exclusion.is_of(row) for exclusion in self.excluded)

    def matched_type(self, version: TrackedModel) -> str:
        """What a version is registered as that this rule covers."""
        return version.model_type if version.model_type in MODEL_TYPES else self.model_type


def rule_label(name: str) -> str:
    """A rule as a monitor run and a reason name it."""
    return f"{RULE} {name}"


def wanted_rule(
    name: Any, match: Any, model_type: Any, settings: Any, registered_by: str, now: int, place: str = ""
) -> MonitoringRule:
    """The rule that a client or a file describes, without a run. Raises `InvalidInput`, which names the place."""
    try:
        return MonitoringRule(
            rule_name(name),
            _matcher(match),
            _one_of(MODEL_TYPES[0] if model_type is None else model_type, MODEL_TYPES, "model_type"),
            registered_by,
            now,
            "",
            _settings({} if settings is None else settings),
        )
    except InvalidInput as error:
        raise InvalidInput(f"{place}{error.detail}") from None


def rule_name(name: Any) -> str:
    """The name of a rule, checked. Raises `InvalidInput`."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidInput(
            "name: must be 1 to 100 letters, digits, dots, dashes, underscores or spaces, and begin with a letter or a "
            "digit."
        )
    return name


def matcher_info(match: Matcher) -> dict[str, Any]:
    """A matcher as clients and files write it: only the parts that are given."""
    parts = {
        "stages": list(match.stages),
        "aliases": list(match.aliases),
        "tags": dict(match.tags),
        "name": match.name,
    }
    return {name: value for name, value in parts.items() if value}


def matcher_text(match: Matcher) -> str:
    """A matcher as the text that MLflow keeps."""
    return orjson.dumps(matcher_info(match)).decode()


def matcher_from(text: str) -> Matcher:
    """The matcher of such a text. Raises `ValueError` where somebody made it unusable in MLflow."""
    try:
        return _matcher(orjson.loads(text))
    except InvalidInput as error:
        raise ValueError(error.detail) from None


def first_rules(rules: Iterable[MonitoringRule]) -> tuple[list[MonitoringRule], list[MonitoringRule]]:
    """The rule that counts for each name, and the duplicates: the rule made earlier, then the lower run id."""
    kept: dict[str, MonitoringRule] = {}
    duplicates: list[MonitoringRule] = []
    for rule in sorted(rules, key=lambda rule: (rule.registered_at, rule.run_id)):
        if kept.setdefault(rule.name, rule) is not rule:
            duplicates.append(rule)
    return [kept[name] for name in sorted(kept)], duplicates


def covered_by(rule: MonitoringRule, fleet: Fleet, names: Collection[str] | None = None) -> Iterator[TrackedModel]:
    """The versions that a rule covers, of all registered models or of some."""
    excluded = {exclusion.key: exclusion for exclusion in rule.excluded}
    for version in matched_by(rule, fleet, names):
        exclusion = excluded.get(version.key)
        if exclusion is None or not exclusion.is_of(version.row):
            yield version


def is_matched(rule: MonitoringRule, fleet: Fleet, key: VersionKey) -> bool:
    """Whether a version matches a rule, excluded or not."""
    return any(version.key == key for version in matched_by(rule, fleet, [key[0]]))


def matched_by(rule: MonitoringRule, fleet: Fleet, names: Collection[str] | None = None) -> Iterator[TrackedModel]:
    """The versions that match a rule, excluded or not, of all registered models or of some."""
    match = rule.match
    fits = _pattern(match.name) if match.name is not None else None
    aliases = {alias.casefold() for alias in match.aliases}
    last: tuple[str, bool, RegisteredModel | None] = "", False, None
    for version in _candidates(match, fleet, names):
        name = version.row.name
        if last[0] != name:
            last = name, fits is None or fits(name) is not None, fleet.model(name)[0]
        if (
            last[1]
            and (not match.stages or version.stage in match.stages)
            and (not aliases or any(alias.casefold() in aliases for alias in version.aliases))
            and _has_tags(match.tags, version, last[2])
        ):
            yield version


def _candidates(match: Matcher, fleet: Fleet, names: Collection[str] | None) -> Iterable[TrackedModel]:
    if names is not None:
        return chain.from_iterable(fleet.model(name)[1] for name in names)
    if match.stages:
        return chain.from_iterable(fleet.by_stage[stage] for stage in match.stages)
    return fleet.models


def _has_tags(tags: Mapping[str, str | None], version: TrackedModel, model: RegisteredModel | None) -> bool:
    holders = [version.row.tags, model.tags if model else {}]
    return all(
        any(key in holder and (value is None or holder[key] == value) for holder in holders)
        for key, value in tags.items()
    )


@lru_cache(maxsize=2 * MOST_RULES)
def _pattern(name: str) -> Callable[[str], re.Match[str] | None]:
    """Matches names: `*` stands for any characters, `?` for one; upper and lower case differ.

    `fnmatch` makes an expression that never goes back over a `*`, so no pattern takes exponential time.
    """
    return re.compile(fnmatch.translate(name.replace("[", "[[]"))).match


def _matcher(value: Any) -> Matcher:
    given = _object(value, "match")
    for part in given:
        if part not in _PARTS:
            raise InvalidInput(f"match: {part[:60]!r} is not known. Use {', '.join(_PARTS)}.")
    match = Matcher(**{part: _PARTS[part](given[part]) for part in given})
    if match == Matcher():
        raise InvalidInput('match: give at least one of stages, aliases, tags and name. The name "*" fits every model.')
    if len(matcher_text(match)) > LONGEST_TAG:
        raise InvalidInput(f"match: longer than {LONGEST_TAG} characters as JSON.")
    return match


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidInput(f"{place}: Not an object.")
    return value


def _texts(value: Any, place: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise InvalidInput(f"{place}: Not a list of texts.")
    if not 0 < len(value) <= _MOST_NAMED:
        raise InvalidInput(f"{place}: must be 1 to {_MOST_NAMED}.")
    return list(dict.fromkeys(value))


def _stages(value: Any) -> tuple[str, ...]:
    texts = _texts(value, "match.stages")
    try:
        return tuple(dict.fromkeys(map(stage_named, texts)))
    except InvalidInput:
        raise InvalidInput(f"match.stages: must be one of {', '.join(STAGES)}.") from None


def _aliases(value: Any) -> tuple[str, ...]:
    return tuple(_texts(value, "match.aliases"))


def _tags(value: Any) -> dict[str, str | None]:
    tags = dict(_object(value, "match.tags"))
    if not 0 < len(tags) <= _MOST_NAMED:
        raise InvalidInput(f"match.tags: must be 1 to {_MOST_NAMED}.")
    for key, tag in tags.items():
        if tag is not None and not isinstance(tag, str):
            raise InvalidInput(f"match.tags.{key[:60]}: must be a text, in quotes, or null for any value.")
    return tags


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise InvalidInput(f"match.name: must be a text of 1 to {LONGEST_NAME} characters.")
    return value


def _settings(value: Any) -> Mapping[str, Any]:
    settings = merged({}, value)
    if "version" in settings.get("baseline", {}):
        raise InvalidInput("baseline.version: a rule covers versions of many models, so it cannot name one of them.")
    return settings


def _one_of(value: Any, allowed: Sequence[str], place: str) -> str:
    if value not in allowed:
        raise InvalidInput(f"{place}: must be one of {', '.join(allowed)}.")
    return str(value)


_PARTS: dict[str, Callable[[Any], Any]] = {"stages": _stages, "aliases": _aliases, "tags": _tags, "name": _name}
