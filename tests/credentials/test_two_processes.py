"""Tokens that one process has minted, as another one has them."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.credentials.minting import google_fields, store
from tests.credentials.test_minted_tokens import signed_in
from tests.personas import House
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.service_account import service_account_key
from tests.two_stores import neighbour, on_postgresql
from webapp.clock import HOUR

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


@pytest.fixture
def house_environ(google: GoogleTokenEndpoint) -> Mapping[str, str]:
    return google.settings()


async def test_a_token_is_minted_by_one_process_and_found_by_the_other(house: House, neighbour: House, google: GoogleTokenEndpoint) -> None:
    key = service_account_key()
    google.know(key)
    credential = await store(house, google_fields(), key)
    tokens = await asyncio.gather(*(signed_in(each, credential) for each in (house, neighbour, house, neighbour)))
    assert (len({*tokens}), google.asked) == (1, 1)


async def test_a_token_that_the_other_process_handed_over_is_known_here(
    house: House, neighbour: House, google: GoogleTokenEndpoint
) -> None:
    key = service_account_key()
    google.know(key)
    credential = await store(house, google_fields(), key)
    old = await signed_in(house, credential)
    assert await signed_in(neighbour, credential) == old
    house.clock.advance(HOUR)
    new = await signed_in(neighbour, credential)
    lately = await house.store.sign_ins.tokens.lately(house.alice.account_id, credential.id)
    known = [house.store.sign_ins.tokens.open(minted).reveal().decode() for minted in lately]
    assert (new != old, new in known) == (True, True), "what an agent reports here may quote it"
