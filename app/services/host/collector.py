"""Python's garbage collector, which looks through all objects again and again while many are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Make many objects in the block that stay, and that do not refer to each other in circles.

    To look through them meanwhile takes a third of the time of decoding a snapshot, and holds up all other threads.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
