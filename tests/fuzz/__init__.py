"""Bytes that nobody should send, fed to what reads them. `python -m tests.fuzz BYTES [--seed N]`."""
