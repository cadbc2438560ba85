"""Tokens that are kept and good by their times, and are handed over no longer all the same."""

from collections.abc import Mapping
from dataclasses import replace

import httpx2
import pytest

from tests.credentials.minting import ecr_fields, google_fields, store
from tests.credentials.test_minted_tokens import restarted, signed_in
from tests.markup import says
from tests.personas import House
from tests.real.aws_ecr import GET_TOKEN, AwsEcr
from tests.real.aws_kms import REGION
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.service_account import service_account_key
from webapp.clock import DAY, MINUTE
from webapp.credentials.minting import NotMinted
from webapp.credentials.parameters import EcrParameters

pytestmark = pytest.mark.anyio


@pytest.fixture
def house_environ(ecr: AwsEcr, google: GoogleTokenEndpoint) -> Mapping[str, str]:
    return {**ecr.settings(), **google.settings()}


async def test_a_clock_that_was_set_back_makes_no_token_live_longer(house: House, google: GoogleTokenEndpoint) -> None:
    key = service_account_key()
    google.know(key)
    credential = await store(house, google_fields(), key)
    first = await signed_in(house, credential)
    house.clock.advance(-MINUTE)
    assert await signed_in(house, credential) == first
    house.clock.advance(-DAY)
    second = await signed_in(house, credential)
    assert (second != first, google.asked) == (True, 2)
    assert (await restarted(house).stored(house.alice.actor, credential.id, 1)).password.reveal().decode() == second


async def test_the_servers_own_role_is_asked_anew_after_a_restart_where_it_may_be_switched_off(
    house: House, ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecr.clock = house.clock
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHESERVERITSELF")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server-itself")
    credential, on = await store(house, ecr_fields(EcrParameters(REGION)), b""), replace(house.settings, aws_own_role=True)
    for _ in range(2):
        await restarted(house, on).stored(house.alice.actor, credential.id, 1)
    assert ecr.asked[GET_TOKEN] == 2
    with pytest.raises(NotMinted, match="own role is switched off"):
        await restarted(house).stored(house.alice.actor, credential.id, 1)


async def test_a_credential_of_which_no_token_comes_says_so_until_one_does(house: House, alice: httpx2.AsyncClient, ecr: AwsEcr) -> None:
    ecr.clock = house.clock
    credential = await store(house)
    ecr.errors[GET_TOKEN] = 400, "UnrecognizedClientException"
    with pytest.raises(NotMinted):
        await signed_in(house, credential)
    assert "Wrong user or password just now on minting its token" in says((await alice.get(f"/registry-credentials/{credential.id}")).text)
    assert "Wrong user or password" in says((await alice.get("/registry-credentials")).text)
    ecr.errors.clear()
    house.clock.advance(MINUTE)
    await signed_in(house, credential)
    assert "Wrong user or password" not in says((await alice.get("/registry-credentials")).text)
