"""Nonces of forms: spent once, by what succeeds, and forgotten after a day."""

import pytest

from tests.personas import House
from webapp.clock import DAY
from webapp.nonce import new_nonce, spend_nonce

pytestmark = pytest.mark.anyio


async def spend(house: House, nonce: str, record_id: str, account_id: str = "") -> str | None:
    async with house.store.database.account(account_id or house.alice.account_id).transaction() as transaction:
        return await spend_nonce(transaction, nonce, record_id, house.clock())


async def test_a_repeat_leads_to_the_record_that_the_first_one_made(house: House) -> None:
    nonce = new_nonce()
    assert await spend(house, nonce, "first") is None
    assert await spend(house, nonce, "second") == "first"
    assert await spend(house, new_nonce(), "third") is None


async def test_what_fails_spends_nothing(house: House) -> None:
    nonce = new_nonce()
    with pytest.raises(LookupError):
        async with house.store.database.account(house.alice.account_id).transaction() as transaction:
            assert await spend_nonce(transaction, nonce, "first", house.clock()) is None
            raise LookupError
    assert await spend(house, nonce, "second") is None


async def test_another_account_has_nonces_of_its_own(house: House) -> None:
    nonce = new_nonce()
    assert await spend(house, nonce, "alices") is None
    assert await spend(house, nonce, "charlies", house.charlie.account_id) is None


async def test_a_caller_that_is_no_form_has_none(house: House) -> None:
    assert await spend(house, "", "first") is None
    assert await spend(house, "", "second") is None


async def test_it_is_forgotten_after_a_day(house: House) -> None:
    nonce = new_nonce()
    await spend(house, nonce, "first")
    house.clock.advance(DAY)
    await spend(house, new_nonce(), "another")
    assert await spend(house, nonce, "second") == "first"
    house.clock.advance(DAY + 1)
    await spend(house, new_nonce(), "a third")
    assert len(await house.store.database.fetch_all("SELECT nonce FROM form_nonces")) == 1


async def test_one_account_does_not_forget_for_another(house: House) -> None:
    nonce = new_nonce()
    await spend(house, nonce, "charlies", house.charlie.account_id)
    house.clock.advance(DAY + 1)
    await spend(house, new_nonce(), "alices")
    assert await spend(house, nonce, "again", house.charlie.account_id) == "charlies"


def test_no_two_are_alike_and_each_goes_into_a_form() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(nonce.isascii() and nonce.replace("-", "").replace("_", "").isalnum() for nonce in nonces)
