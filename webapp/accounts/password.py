"""Members' passwords: the rule for a new one, and argon2id (RFC 9106).

46 MiB and one pass, one lane: the first of the parameters that OWASP's Password Storage Cheat Sheet gives as equal.
Hashing leaves the event loop, and at most one hash a core is computed at a time, so that sign-ins can neither stop
the server nor fill its memory.
"""

import asyncio
import os
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webapp.accounts.member import Email
from webapp.errors import Unavailable
from webapp.names import key_of
from webapp.vault import Secret

SHORTEST = 15
"""Characters (code points of the NFC form): NIST SP 800-63B-4, section 3.1.1.2, for a password that is the only factor."""

LONGEST = 1024
"""Bytes of UTF-8; what NIST asks for at least is 64 characters."""

MOST_WAITING = 64
"""Hashes that may wait for a core; at 84 ms each that is some 3 s on two cores. Beyond it nobody is let in the queue."""

_MEMORY_KIB = 46 * 1024
_SALT_BYTES, _HASH_BYTES = 16, 32

_T = TypeVar("_T")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_HASHER = PasswordHasher(time_cost=1, memory_cost=_MEMORY_KIB, parallelism=1, hash_len=_HASH_BYTES, salt_len=_SALT_BYTES)
_THREADS = ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="argon2")


def check_new_password(password: Secret, email: Email) -> None:
    """Refuse a password that is too easy to guess or cannot be typed. Raises ValueError with a sentence that never quotes it.

    No rules of composition: NIST SP 800-63B-4 advises against them.
    """
    if len(password) > LONGEST:
        raise ValueError(f"The password has {len(password)} bytes. Use at most {LONGEST}.")
    try:
        text = _normal(password).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("The password is not text in UTF-8. Type one.") from None
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise ValueError("The password holds a line break or a control character, which no sign-in page takes. Leave it out.")
    if len(text) < SHORTEST:
        raise ValueError(
            f"The password has {len(text)} characters. Use at least {SHORTEST}: four or five words that do not belong together do."
        )
    if len(set(text)) == 1:
        raise ValueError("The password is one character, repeated. Use several words that do not belong together.")
    if key_of(text) == email.key:
        raise ValueError("The password is the email address. Use one that nobody can know from your address.")


async def hash_password(password: Secret) -> str:
    """The hash to store, with its parameters and a salt of its own (PHC string format). Raises Unavailable when too many wait."""
    return await _in_turn(lambda: _HASHER.hash(_normal(password)))


async def verify(stored: str | None, password: Secret) -> bool:
    """Whether the password is the one of this hash. Raises Unavailable when too many wait.

    None stands for a member who does not exist: it takes the same work, and the answer is no.
    """
    if len(password) > LONGEST:
        # No password is this long. The work is done all the same, on one that is none.
        stored, password = None, Secret(b"")
    expected = _no_ones_hash() if stored is None else stored
    return await _in_turn(lambda: _matches(expected, _normal(password)))


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def _matches(stored: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: Secret) -> bytes:
    """The bytes that are hashed: those of the NFC form, so that a password is the same on every keyboard (SP 800-63B-4, 3.1.1.2)."""
    try:
        text = password.reveal().decode("utf-8")
    except UnicodeDecodeError:
        return password.reveal()
    return unicodedata.normalize("NFC", text).encode("utf-8")


def _no_ones_hash() -> str:
    """A hash with today's parameters that no password has: it was drawn, not computed."""
    salt, tag = (b64encode(secrets.token_bytes(size)).decode("ascii").rstrip("=") for size in (_SALT_BYTES, _HASH_BYTES))
    return f"$argon2id$v=19$m={_MEMORY_KIB},t=1,p=1${salt}${tag}"


async def _in_turn(work: Callable[[], _T]) -> _T:
    """Do this on one of the threads, of which there is one a core; the others wait."""
    if _begun.count >= _cores() + MOST_WAITING:
        raise Unavailable("Too many people are signing in just now. Try again.")
    _begun.count += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
    finally:
        _begun.count -= 1


class _Begun:
    """How many hashes are computed or wait; only the event loop's thread touches it."""

    count = 0


_begun = _Begun()
