"""hullkit: small, hardened, immutable Linux systems built out of containers."""

__version__ = "0.1.0"
