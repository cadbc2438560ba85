"""What a KMS does for a root key, and the sentences for when it does not."""

import re
from collections.abc import Mapping
from typing import Protocol

from webapp.errors import ConfigurationError, Unavailable
from webapp.kms_key import KmsKey
from webapp.vault.secret import Secret

SETTING = "WEBAPP_ROOT_KEY"

Context = Mapping[str, str]
"""What a wrapped root key is bound to. The KMS authenticates it, and may log it: nothing in it is secret."""

UNWRAP, WRAP = "unwrap", "wrap"


class Kms(Protocol):
    """A key in a KMS, which it never leaves.

    Both raise ConfigurationError where somebody has to change something, and Unavailable where it may go well later.
    """

    def wrap(self, key: Secret, context: Context) -> bytes:
        """The root key, encrypted and bound to this context."""
        ...

    def unwrap(self, wrapped: bytes, context: Context) -> Secret:
        """The root key that was wrapped in this context. Raises WrappedKeyRefused for what was not."""
        ...


class WrappedKeyRefused(ConfigurationError):
    """The KMS does not open this wrapped root key: it was changed, or belongs to another installation or another key."""


def refused(key: KmsKey, verb: str, reason: str) -> ConfigurationError:
    """The KMS was asked, and somebody has to change something. `reason` is the rest of a sentence, without its full stop."""
    return ConfigurationError(_sentence(key, verb, reason))


def does_not_open(key: KmsKey) -> WrappedKeyRefused:
    """The KMS was asked, and what the database holds is not what it wrapped for this installation."""
    reason = "it refuses what the database holds: that was changed, or it was wrapped by another key or for another installation"
    return WrappedKeyRefused(_sentence(key, UNWRAP, reason))


def not_now(key: KmsKey, verb: str, reason: str) -> Unavailable:
    """The KMS could not be asked, or could not answer."""
    return Unavailable(f"{_sentence(key, verb, reason)} Nothing was changed. Try again.")


def word(code: object) -> str:
    """An error's code, as far as it is a word: a longer text might quote what was sent."""
    text = str(code)
    return text if re.fullmatch(r"[A-Za-z0-9_.]{1,64}", text, re.ASCII) else "an unknown error"


def _sentence(key: KmsKey, verb: str, reason: str) -> str:
    return f"{SETTING}: {key} was asked to {verb} the root key, and {reason}."
