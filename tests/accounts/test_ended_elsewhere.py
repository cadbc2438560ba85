"""What one process ends is over in all of them at once: sessions and API tokens."""

import pytest

from tests.personas import House
from tests.stories import api_token, bearer
from tests.two_stores import neighbour, on_postgresql

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


async def test_a_session_that_is_ended_here_is_over_there(house: House, neighbour: House) -> None:
    here, there = await house.signed_in(house.alice), await neighbour.signed_in(house.alice)
    assert (await there.get("/images")).status_code == 200
    accessor = there.cookies["session"].split("_")[2]
    assert (await here.post(f"/settings/sessions/{accessor}/end")).status_code == 303
    assert (await there.get("/images")).status_code == 303


async def test_a_token_that_is_revoked_here_opens_nothing_there(house: House, neighbour: House) -> None:
    alice = await house.signed_in(house.alice)
    token = await api_token(alice)
    there = await neighbour.client()
    assert (await there.get("/api/v1/me", headers=bearer(token))).status_code == 200
    (listed,) = (await house.store.api_tokens.page(house.alice.actor, member_id=None)).records
    assert (await alice.post(f"/settings/api-tokens/{listed.id}/revoke")).status_code == 303
    assert (await there.get("/api/v1/me", headers=bearer(token))).status_code == 401
