"""What can go wrong, as types: repositories raise them, `web` turns them into answers.

Every message here may be shown to a person, so none ever holds a secret.
"""

from collections.abc import Mapping


class AppError(Exception):
    """The base of the errors below. `str(error)` is a sentence that may be shown."""


class NotFound(AppError):
    """There is no such thing in this account (another account's thing is no thing). Answered with 404."""


class Forbidden(AppError):
    """The caller is known, and may not do this. Answered with 403."""


class Unauthorised(AppError):
    """Nobody valid is signed in, or the bearer token is no valid one. Answered with 401 (RFC 9110, section 15.5.2)."""


class Conflict(AppError):
    """The state of things does not allow this. Answered with 409.

    `code` is the last part of a problem document's `type` (RFC 9457), such as `agent-name-taken`.
    """

    def __init__(self, message: str, code: str = "conflict") -> None:
        super().__init__(message)
        self.code = code


class Stale(AppError):
    """Somebody else saved this row since it was read. Answered with 412, and with what changed."""


class Invalid(AppError):
    """What was typed breaks a rule. Answered with 422.

    `errors` maps the field's name to a sentence that says what is wrong and what would be right; the
    empty name stands for the form as a whole.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class TooLarge(AppError):
    """The body, a part of it or their number is beyond the limit. Answered with 413."""


class TooMany(AppError):
    """Too many tries. Answered with 429 and `Retry-After`; `retry_after` is in whole seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(AppError):
    """It cannot be done now, so nothing was done and nothing was released. Answered with 503 and `Retry-After`.

    `code` is as in Conflict; `retry_after` is in whole seconds.
    """

    def __init__(self, message: str, code: str = "unavailable", retry_after: int = 2) -> None:
        super().__init__(message)
        self.code, self.retry_after = code, retry_after


class ConfigurationError(AppError):
    """The program cannot start as it is set up. The command line prints the sentence and exits with 78 (EX_CONFIG)."""


class StoreLocked(ConfigurationError):
    """Another process has the store open; on SQLite only one may."""
