"""Answers: what clients read, as bytes that are made once."""
