"""A host that promotes, over an MLflow in memory, and may be killed between any two steps."""

from collections.abc import Callable
from pathlib import Path

from app.domain.promotion.promotions import ALIAS, Promotion, Wanted
from app.domain.promotion.tags import promotion_from
from app.services.host.file_locks import FileLocks
from app.services.monitoring.comparison import Comparison
from app.services.promotion.desk import PromotionDesk
from app.services.promotion.executor import Executor
from app.services.promotion.reader import Reader
from app.services.promotion.teller import Teller
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.mirrors import RULES
from tests.unit.test_change_recorder import Host

STEPS = ("proposed", "approved", "begun", "written", "moved", "recorded", "ended")


class Killed(BaseException):
    """As `kill -9`: nothing handles it."""


class Promoter(Host):
    """One host. `kill_at` is the name of the step after which it is killed."""

    def __init__(self, directory: Path, gateway: MemoryGateway, approvals: int = 1) -> None:
        self.approvals = approvals
        self.kill_at: str | None = None
        super().__init__(directory, gateway)

    def start(self) -> None:
        super().start()
        self.kill_at = None
        gateway, clock = self.gateway, self.clock
        reader = Reader(gateway, Comparison(gateway, RULES, clock), RULES, lambda: ())
        executor = Executor(
            gateway, reader, self.recorder, self.mirror.publisher.look_up, clock, 24.0, 168.0, self._between
        )
        locks = FileLocks(self.directory / "locks", "promotion")
        self.desk = PromotionDesk(
            gateway,
            reader,
            executor,
            self.recorder,
            locks,
            clock,
            lambda: None,
            Teller([], gateway, clock),
            self.approvals,
            24.0,
            {"champion"},
        )

    def _between(self, step: str) -> None:
        if step == self.kill_at:
            raise Killed

    def propose(self, version: int = 2, place: str = "champion", kind: str = ALIAS, **more: object) -> Promotion:
        wanted = Wanted(kind, place, "better", override=True, **more)  # type: ignore[arg-type]
        return self.desk.propose("m", str(version), wanted, "ada", may_approve=True)

    def roll_back(self, since: int, kind: str = ALIAS, place: str = "champion", to: str | None = None) -> Promotion:
        return self.desk.roll_back("m", Wanted(kind, place, "it fails"), str(since), to, "bob")

    def killed_at(self, step: str, work: Callable[[], object]) -> None:
        """Do some work until it is killed, and start again."""
        self.kill_at = step
        try:
            work()
        except Killed:
            pass
        else:
            raise AssertionError(f"nothing was killed at {step}")
        self.start()

    @property
    def promotions(self) -> list[Promotion]:
        return [found for run in self.gateway.promotion_runs(None, False) if (found := promotion_from(run))]

    @property
    def champion(self) -> int | None:
        model = self.gateway.read_models(["m"], [])["m"].model
        return model.aliases.get("champion") if model else None

    def stages(self) -> dict[int, str]:
        return {row.version: row.stage for row in self.gateway.world.versions.values()}

    @property
    def in_production(self) -> list[int]:
        return [version for version, stage in self.stages().items() if stage == "Production"]

    def tower_changes(self) -> list[tuple[str, object, object, str | None]]:
        """What the history has of the moves of this service, oldest first."""
        return [(c.subject, c.old, c.new, c.actor) for c in self.changes() if c.through == "tower"]
