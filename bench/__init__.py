"""Measures what the documentation claims, each figure beside something honest in the same run: `make bench`."""
