"""`python -m app.judging`: judges the series on its standard input, and ends. The agent starts it when there are some.

It reads and writes MessagePack. It knows no secret, and yields to all other processes.
"""

import os
import sys

import msgspec

from app.services.data_drift.judge_job import judged
from app.services.data_drift.judge_order import JudgeOrder

_NICE = 10


def main() -> None:
    """Judge the series, and write a report on each."""
    os.nice(_NICE)
    orders = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[JudgeOrder])
    sys.stdout.buffer.write(msgspec.msgpack.encode([judged(order) for order in orders]))


if __name__ == "__main__":
    main()
