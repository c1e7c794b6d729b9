"""What a promotion has to know of MLflow: what is in its place, the verdict on its version, and the evidence."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.comparison.requirements import requirements
from app.domain.findings import Finding
from app.domain.monitoring.monitored import precedence
from app.domain.ports import Gateway
from app.domain.promotion.promotions import MOST_METRICS, Proposal
from app.domain.promotion.standing import Place, compared_with, gate, place_of
from app.domain.registry.models import ModelVersion
from app.domain.registry.stages import StageRules
from app.domain.times import rfc3339
from app.services.monitoring.comparison import Comparison


class Reader:
    """Reads MLflow live, since something is about to be moved. `findings` are those of the mirror."""

    def __init__(
        self, gateway: Gateway, comparison: Comparison, rules: StageRules, findings: Callable[[], Sequence[Finding]]
    ) -> None:
        self._gateway = gateway
        self._rules = rules
        self._comparison = comparison
        self._findings = findings

    def place(self, name: str, kind: str, place: str) -> Place:
        """What is under an alias or in a stage now."""
        with self._gateway.within(self._gateway.patience):
            return place_of(self._gateway.read_models([name], [])[name], kind, place, self._rules)

    def verdict(self, row: ModelVersion) -> tuple[str | None, int | None]:
        """The verdict on a version and since when, as its monitor run has it; None if it is not monitored."""
        with self._gateway.within(self._gateway.patience):
            registrations = sorted(self._gateway.look_up_registrations(row.name, row.version), key=precedence)
            ours = next((one for one in registrations if one.is_of(row)), None)
            states = self._gateway.monitor_runs([ours.monitor_run_id]) if ours else None
        return (states[0].verdict, states[0].since) if states else (None, None)

    def evidence(self, proposal: Proposal, place: Place) -> dict[str, Any]:
        """What the gate says: the comparison with the version that is effectively there, the verdict, the findings."""
        row = place.versions[proposal.version.version]
        verdict, since = self.verdict(row)
        comparison = None
        other, compared = compared_with(place, proposal.version)
        if other is not None:
            required = requirements(proposal.margins, (), ())
            baseline, candidate = str(other.version), str(row.version)
            comparison = self._comparison.of(proposal.model, baseline, candidate, required, proposal.metrics)
        why = gate(comparison, verdict, compared)
        kept = comparison and {**comparison, "metrics": comparison["metrics"][:MOST_METRICS]}
        return {
            "taken_at": rfc3339(proposal.at),
            "passes": not why,
            "why_not": why,
            "comparison": kept,
            "compared_with": compared,
            "verdict": verdict,
            "verdict_since": rfc3339(since),
            "findings": sorted(
                {
                    finding.finding
                    for finding in self._findings()
                    if finding.name == row.name and finding.version in (None, row.version)
                }
            ),
        }
