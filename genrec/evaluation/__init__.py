"""Judging recallers: metrics, the protocol, significance, and the report."""
