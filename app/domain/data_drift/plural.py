"""Numbers with what they count, in sentences."""


def many(n: int, noun: str) -> str:
    """As "1 row" and "2 rows"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
