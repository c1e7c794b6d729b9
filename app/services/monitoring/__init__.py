"""Monitoring: registrations, checks and verdicts, their history, comparison of versions."""
