"""The service. The package imports nothing by itself: a process loads only what it needs."""
