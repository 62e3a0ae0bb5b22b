"""Boots a system: ``check.run_check`` without a person, ``console.run_console`` for one. One file per backend."""
