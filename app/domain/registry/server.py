"""What the MLflow server is: its version, the features that its version lacks, and its workspaces."""

from dataclasses import dataclass

# The features that not every server has, and the first version that does.
_SINCE = {"logged models": (3, 0), "webhooks": (3, 3), "workspaces": (3, 10)}
DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """The MLflow server.

    `version` is None where the server does not say it. `workspaces` are those that the tower's user may see; there are
    none where the server was started without.
    """

    version: str | None
    workspaces: tuple[str, ...] = ()

    def lacks(self) -> list[str]:
        """The features that a server of this version does not have; none are known where the version is not."""
        if self.version is None:
            return []
        major, minor = (int(part) for part in self.version.split(".")[:2])
        return [feature for feature, first in _SINCE.items() if (major, minor) < first]

    def other_workspaces(self, workspace: str | None) -> list[str]:
        """The workspaces other than the shown `workspace`; None is the server's default workspace."""
        return sorted(set(self.workspaces) - {workspace or DEFAULT_WORKSPACE})
