"""Numbers as JSON writes them. Python's `float` would also accept `1_0`, `+1`, blanks, `nan` and other digits."""

import re

DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?\Z", re.ASCII)
