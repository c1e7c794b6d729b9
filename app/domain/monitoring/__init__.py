"""Monitoring: evidence, rules and verdicts, registrations and their history, alerts."""
