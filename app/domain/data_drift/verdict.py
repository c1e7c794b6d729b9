"""What a version's data adds to the verdict on it: alarms as those of its metrics."""

from dataclasses import replace

from app.domain.data_drift.sentence import Summary, began, fall_in_words, inputs_in_words, outputs_in_words
from app.domain.monitoring.alarms import reasons_of
from app.domain.monitoring.data_settings import OFF, DataSettings
from app.domain.monitoring.reasons import first_of
from app.domain.monitoring.verdicts import HEALTHY, Alarm, VersionVerdict, severity
from app.domain.times import parse_rfc3339

INPUTS, PREDICTIONS, ESTIMATE = "data_inputs", "data_predictions", "data_estimate"


def with_data(verdict: VersionVerdict, summary: Summary | None, settings: DataSettings, now: int) -> VersionVerdict:
    """The verdict with what moved in the data. Moved data is no worse performance, so it is `degraded` by default."""
    alarms = data_alarms(summary, settings, now) if summary else []
    if not alarms:
        return verdict
    worst = max([verdict.verdict, *(alarm.verdict for alarm in alarms)], key=severity)
    together = [*verdict.alarms, *alarms]
    # What is healthy is no reason for a version that is not.
    others = [] if verdict.verdict == HEALTHY or verdict.alarms else verdict.reasons
    return replace(verdict, verdict=worst, reasons=first_of([*reasons_of(together, now), *others]), alarms=together)


def data_alarms(summary: Summary, settings: DataSettings, now: int) -> list[Alarm]:
    """The alarms of inputs and predictions that moved, and of an estimate that fell; without those that are off."""
    alarms = []
    for rule, effect, moved, words in (
        (INPUTS, settings.inputs, summary["moved_inputs"], inputs_in_words(summary, now)),
        (PREDICTIONS, settings.predictions, summary["moved_outputs"], outputs_in_words(summary, now)),
    ):
        if moved and effect != OFF:
            alarms.append(_alarm(rule, effect, began(moved), words))
    fall = summary["estimated_fall"]
    if fall and settings.estimate != OFF:
        words = f"{fall_in_words(fall)}; {fall['assumption']}"
        alarms.append(_alarm(ESTIMATE, settings.estimate, parse_rfc3339(summary["at"], "at"), words))
    return alarms


def _alarm(rule: str, effect: str, since: int, words: str) -> Alarm:
    return Alarm(rule, effect, "data", since, sentence=f": {words}")
