"""Removes credentials from text, since MLflow's own exceptions repeat a tracking URI with its password."""

import re

# Everything between `://` and the last `@` before the path: a password may itself hold an `@`.
_USERINFO = re.compile(r"(://)[^/\s\"'<>]*@")


def redact(text: str) -> str:
    """The text with the userinfo of every address in it replaced by `***`."""
    return _USERINFO.sub(r"\1***@", text) if "://" in text else text


def without_userinfo(uri: str) -> str:
    """The address without user name and password."""
    return _USERINFO.sub(r"\1", uri)
