"""Runs Hypothesis' state machines, in whatever file the test is."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def try_machine(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Try so many random sequences of steps. The first failure ends it, and is shown as it happened.

    Failures are not made smaller: each step may take seconds, and clocks and threads play a part.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
