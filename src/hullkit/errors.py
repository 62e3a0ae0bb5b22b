"""What can go wrong, as exceptions.

Library code raises these and never prints or exits; ``hullkit.cli`` turns one into a single line on
stderr and an exit code. A message says what is wrong and why; ``hint`` says what to do instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text that a person wrote; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class HullError(Exception):
    """Base of every error that a user may meet; ``exit_code`` tells scripts its kind."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, where: Position | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        """One line: ``file:line:column: message (hint)``."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.hint:
            text = f"{text} ({self.hint})"
        return " ".join(text.split())


class CheckFailed(HullError):
    """A check of a system that was booted did not hold, or a system breaks its budget."""

    exit_code = 1


class ConfigError(HullError):
    """What a person wrote (YAML, recipe, option) is not valid."""

    exit_code = 2


class NotFound(HullError):
    """An image, component, package, file or locked artefact does not exist where it was looked for."""

    exit_code = 3


class NetworkError(HullError):
    """A server could not be reached, or broke off for good after all retries; or ``--offline`` forbade asking it."""

    exit_code = 4


class TrustError(HullError):
    """A signature, digest or size is not what it must be."""

    exit_code = 5


class ToolError(HullError):
    """An external tool failed; ``command`` is the shell line to repeat it by hand."""

    exit_code = 6

    def __init__(self, message: str, *, command: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.command = command


class HostError(HullError):
    """The host does not let us: disk full, no permission, missing kernel feature."""

    exit_code = 7


class DriftError(HullError):
    """``--locked``: what would be built differs from what the lock says."""

    exit_code = 8
