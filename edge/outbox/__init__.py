"""Alerts on disk before they are on the wire: a bounded queue in, one thread, one SQLite file."""
