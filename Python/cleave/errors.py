"""The program's errors by their exit code, which are those of sysexits.h."""
from __future__ import annotations

import json


class CleaveError(Exception):
    """A run that did not end well.

    Attributes:
        exit_code: of the program, or of its launcher.
        message: what the program said, without the prefix ``cleave:``.
        errors: all that was written to standard error.
    """

    def __init__(self, exit_code: int, message: str, errors: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.errors = errors


class UsageError(CleaveError):
    """64: an option is wrong."""


class BadInputError(CleaveError):
    """65: a file, or a setting of a recipe, is wrong."""


class MissingInputError(CleaveError):
    """66: a file is missing."""


class InternalError(CleaveError):
    """70: a fault of the program's own."""


class SystemRefusalError(CleaveError):
    """71: the system refused memory, or MPI failed."""


class CannotWriteError(CleaveError):
    """73: the output cannot be written."""


class IOFailureError(CleaveError):
    """74: reading or writing failed."""


class StoppedError(CleaveError):
    """75: stopped in good order; the same call goes on."""


class LauncherError(CleaveError):
    """78: the launcher belongs to another MPI library; or there is none, or it failed (69, and codes of its own)."""


_KINDS: dict[int, type[CleaveError]] = {
    64: UsageError, 65: BadInputError, 66: MissingInputError, 69: LauncherError, 70: InternalError, 71: SystemRefusalError, 73: CannotWriteError,
    74: IOFailureError, 75: StoppedError, 78: LauncherError,
}


def error_of(exit_code: int, output: str, errors: str) -> CleaveError:
    """The error that an exit code stands for, with the message that ``--json`` put on standard output, or else what standard error says."""
    message = None
    for line in output.splitlines():
        try:
            message = json.loads(line)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            continue
    message = message or errors.strip() or f"ended with exit code {exit_code} and no message"
    return _KINDS.get(exit_code, CleaveError)(exit_code, message, errors)
