"""Answers: the bodies that clients read, as bytes that are made once."""
