"""preact-edge: the edge half of the PreAct Crime Detection System."""

__version__ = "0.4.0"

RELEASED = "2026-11-23"  # no clock that is earlier than this is right; see edge.security.peers
