"""Measures what the README claims, each figure beside something honest in the same run: `make bench`."""
