"""What a system costs: disk, memory, boot time and attack surface, per component (docs/footprint.md)."""
