"""MLflow's page tokens, checked before MLflow is asked: a broken one makes its server fail."""

import base64
import binascii
import json

_MOST = 1 << 62


def page_token_offset(token: str) -> int | None:
    """The offset in a page token, base64 of `{"offset": n}`; None for anything else."""
    try:
        parsed = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    offset = parsed.get("offset") if isinstance(parsed, dict) else None
    return offset if type(offset) is int and 0 < offset < _MOST else None
