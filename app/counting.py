"""`python -m app.counting DESCRIPTOR`: counts one body and ends. A worker starts it, and kills it if it takes too long.

What others sent is parsed here, in a process that knows no secret, has little memory, and yields to all others. It
reads an order on its standard input and the body from an open file, and writes the outcome.
"""

import gc
import os
import resource
import sys

import msgspec

from app.domain.errors import Conflict, InvalidInput, TooLarge
from app.services.data_drift.job import done
from app.services.data_drift.order import MOST_SECONDS, CountOutcome, Order, Refused

MOST_MEMORY = 768 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NICE = 5


def main(most_memory: int = MOST_MEMORY, most_seconds: int = MOST_SECONDS) -> None:
    """Count the body in the file that the argument names by its descriptor.

    At most so many bytes of memory are taken beside those of the libraries.
    """
    os.nice(_NICE)
    # Beyond, the system ends the process by SIGKILL or SIGXCPU.
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    with open(int(sys.argv[1]), "rb", buffering=0) as file:
        body = file.readall()
    # A document's rows are many objects, none of which refers to itself.
    gc.disable()
    _limit_memory(most_memory)
    sys.stdout.buffer.write(msgspec.json.encode(outcome(order, body)))
    sys.stdout.buffer.flush()
    # Arrow's threads may still read ahead. An interpreter that tears down under them can abort.
    os._exit(0)


def outcome(order: Order, body: bytes) -> CountOutcome:
    """The counts of a body, or why there are none."""
    try:
        return CountOutcome(counted=done(order, body))
    except InvalidInput as error:
        return CountOutcome(refused=Refused(error.detail))
    except TooLarge as error:
        return CountOutcome(refused=Refused(error.detail, is_too_large=True))
    except Conflict as error:
        return CountOutcome(refused=Refused(error.detail, is_conflict=True))
    except MemoryError:
        return CountOutcome(
            refused=Refused(
                "Counting the body took more memory than it may. Send fewer rows at once.", is_too_large=True
            )
        )


def _limit_memory(allowed: int) -> None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * _PAGE
    except OSError:
        # Not Linux. There the deadline is the only limit.
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + allowed, most))


if __name__ == "__main__":
    main()
