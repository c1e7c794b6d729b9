"""Wiring builds all objects and hands them to each other. The module that builds an object is named after its process.

`world` builds what the machine provides, `shared` what a worker and the agent both have, `worker` and `agent` the rest.
"""
