"""MLflow's page tokens: base64 of `{"offset": n}`, in some lists with more beside the offset."""

import base64
import binascii
import json
from typing import Any

_MOST = 1 << 62


def page_token_offset(token: str) -> int | None:
    """The offset in a page token; None for anything else. A broken token makes MLflow's server fail."""
    offset = _parsed(token).get("offset")
    return offset if type(offset) is int and 0 < offset < _MOST else None


def page_token_at(token: str, offset: int) -> str | None:
    """The token for another offset in the same list; None for its start, which needs no token."""
    if offset <= 0:
        return None
    return base64.b64encode(json.dumps({**_parsed(token), "offset": offset}).encode()).decode()


def _parsed(token: str) -> dict[str, Any]:
    try:
        content = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
