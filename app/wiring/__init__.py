"""Wiring: where objects are built and handed to each other; which process owns an object can be seen by its module.

`world` builds what the machine provides, `shared` what a worker and the agent both have, `worker` and `agent` the rest.
"""
