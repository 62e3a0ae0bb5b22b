"""Boots a system. One file per backend (``qemu``); ``check.run_check`` without a person, ``console.run_console`` for one."""
