"""The files of the pages. Their addresses change with their content, so that a browser requests each file once."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.services.answers.prepared import Prepared

# Modules import each other by relative addresses, so a digest in the folder's name applies to all of them.
_PATTERNS = ("ui/**/*.css", "ui/**/*.js", "vendor/uplot/*", "vendor/morphdom/*.js", "icon.svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, ready to be sent plain or compressed."""

    kind: str
    prepared: Prepared


class Assets:
    """Reads the files once. `digest` is that of all files together."""

    def __init__(self, folder: Path) -> None:
        paths = {path.relative_to(folder).as_posix(): path for pattern in _PATTERNS for path in folder.glob(pattern)}
        self._files: Mapping[str, Asset] = {name: _asset(path) for name, path in sorted(paths.items())}
        whole = hashlib.blake2b(digest_size=8)
        for name, asset in self._files.items():
            whole.update(f"{name}\0{asset.prepared.digest}\0".encode())
        self.digest = whole.hexdigest()

    def find(self, name: str) -> Asset | None:
        return self._files.get(name)


def _asset(path: Path) -> Asset:
    kind = mimetypes.types_map.get(path.suffix, "text/plain")
    return Asset(f"{kind}; charset=utf-8", Prepared(path.read_bytes(), 0))
