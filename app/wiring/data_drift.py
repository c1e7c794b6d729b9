"""The agent's objects for data drift."""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.ports import OwnGateway
from app.services.monitoring.data_desk import DataDesk
from app.services.monitoring.data_judge import DataJudge
from app.services.monitoring.data_observer import DataObserver
from app.services.monitoring.data_reports import DataReportStore
from app.wiring.stores import Services
from app.wiring.world import World


@dataclass(frozen=True)
class DataDrift:
    """What writes counts to MLflow, and what judges them."""

    desk: DataDesk
    judge: DataJudge


def data_drift(
    world: World,
    gateway: OwnGateway,
    own: Services,
    reports: DataReportStore,
    check_soon: Callable[[str, int], None],
    settle: Callable[[], None],
) -> DataDrift:
    """Build what counts go through. Figures that labels yield become observations, which `check_soon` has judged."""
    observer = DataObserver(gateway, own.writer, own.registrations, world.clock, check_soon)
    judge = DataJudge(gateway, reports, own.registrations, own.writer, world.judge, world.clock, observer.take)
    return DataDrift(DataDesk(gateway, own.writer, judge, world.clock, settle), judge)
