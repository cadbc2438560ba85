"""Passwords: which will do, and that hashing them is what it is said to be."""

import asyncio
import time
import unicodedata

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from webapp.accounts import password as passwords
from webapp.accounts.member import parse_email
from webapp.accounts.password import LONGEST, check_new_password, hash_password, needs_rehash, verify
from webapp.errors import Unavailable
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

ANA = parse_email("ana.lopez@example.com")
GOOD = "correct horse battery staple"


def secret(text: str) -> Secret:
    return Secret(text.encode())


@pytest.mark.parametrize(
    "text", [GOOD, "x" * 14 + "y", "ä" * 14 + "o", "     spaces     ", "密码" * 7 + "码", "🐎" * 14 + "🔋", "xy" * (LONGEST // 2)]
)
def test_fifteen_characters_of_any_kind_will_do(text: str) -> None:
    check_new_password(secret(text), ANA)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 characters"),
        ("x" * 13 + "y", "at least 15"),
        ("e\u0301" * 7 + "xy", "9 characters"),
        ("x" * 40, "repeated"),
        ("xy" * (LONGEST // 2) + "z", f"at most {LONGEST}"),
        ("Ana.Lopez@EXAMPLE.com", "email address"),
        ("correct horse\nbattery staple", "line break"),
        ("correct horse\x00battery staple", "control character"),
    ],
)
def test_it_says_what_would_be_right_and_never_quotes(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="password") as caught:
        check_new_password(secret(text), ANA)
    assert says in str(caught.value)
    assert not text or text not in str(caught.value)


def test_it_refuses_what_is_not_text() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        check_new_password(Secret(b"\xff\xfe" * 20), ANA)


async def test_a_hash_is_argon2id_with_46_mib_and_one_pass() -> None:
    stored = await hash_password(secret(GOOD))
    parameters = extract_parameters(stored)
    assert (parameters.type, parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (Type.ID, 46 * 1024, 1, 1)
    assert stored != await hash_password(secret(GOOD)), "a salt of its own"
    assert not needs_rehash(stored)


async def test_a_hash_verifies_its_password_and_no_other() -> None:
    stored = await hash_password(secret("pässword-für-alle"))
    assert await verify(stored, secret("pässword-für-alle"))
    assert await verify(stored, secret(unicodedata.normalize("NFD", "pässword-für-alle"))), "however the keyboard composes it"
    for other in ("passwort-fur-alle", "pässword-für-alle ", "", "PÄSSWORD-FÜR-ALLE"):
        assert not await verify(stored, secret(other))
    assert not await verify(stored, Secret(b"\xff\xfe"))
    assert not await verify(stored, Secret(b"x" * 100_000)), "nor one that is too long to be one"


async def test_a_broken_hash_verifies_nothing() -> None:
    for broken in ("", "plain", "$argon2id$v=19$m=47104,t=1,p=1$AAAA$AAAA"):
        assert not await verify(broken, secret(GOOD))


async def test_nobodys_password_takes_the_same_work() -> None:
    stored = await hash_password(secret(GOOD))

    async def seconds(expected: str | None) -> float:
        began = time.process_time()
        assert not await verify(expected, secret("not the password"))
        return time.process_time() - began

    known = min([await seconds(stored) for _ in range(5)])
    unknown = min([await seconds(None) for _ in range(5)])
    assert unknown > known / 2
    assert known > unknown / 2


def test_older_parameters_are_noticed() -> None:
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD))


async def test_the_event_loop_goes_on_and_at_most_one_a_core_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    matches = passwords._matches

    def counted(stored: str, given: bytes) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return matches(stored, given)
        finally:
            running -= 1

    monkeypatch.setattr(passwords, "_matches", counted)
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    heart = asyncio.create_task(beat())
    answers = await asyncio.gather(*(verify(None, secret(GOOD)) for _ in range(8)))
    heart.cancel()
    assert answers == [False] * 8
    assert 1 <= most <= passwords._cores()
    assert turns > 5


async def test_nobody_waits_without_end() -> None:
    crowd = passwords._cores() + passwords.MOST_WAITING + 1
    before = passwords._begun.count
    passwords._begun.count = crowd
    try:
        with pytest.raises(Unavailable, match="Try again"):
            await verify(None, secret(GOOD))
    finally:
        passwords._begun.count = before
    assert not await verify(None, secret(GOOD))
