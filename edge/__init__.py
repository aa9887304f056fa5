"""preact-edge: the edge half of the PreAct Crime Detection System."""

__version__ = "0.1.0"
