"""Who has to show again who they are: five minutes, to the millisecond."""

from dataclasses import replace

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import store_credential
from webapp.clock import MINUTE
from webapp.web.principal import Principal
from webapp.web.stepup import FRESH, is_fresh

ENGINES = ("sqlite",)  # what a form asks

SHOWN = 1_793_714_700_000
ALICE = Principal("m", "alice@example.com", "admin", "a", "Acme", "s", SHOWN, has_password=True, has_passkey=False, has_identity=False)


def test_it_is_five_minutes() -> None:
    assert FRESH == 5 * MINUTE


@pytest.mark.parametrize(("later", "fresh"), [(0, True), (1, True), (FRESH - 1, True), (FRESH, True), (FRESH + 1, False), (2**40, False)])
def test_it_is_fresh_for_five_minutes_and_no_longer(later: int, fresh: bool) -> None:
    assert is_fresh(ALICE, SHOWN + later) is fresh
    assert is_fresh(replace(ALICE, password_at=SHOWN + 1), SHOWN + later + 1) is fresh


@pytest.mark.anyio
async def test_a_form_that_hands_out_keys_asks_again(house: House, alice: httpx2.AsyncClient) -> None:
    form, asks = {"lifetime": "10m"}, 'name="current_password"'
    assert asks not in (await alice.get("/agents/bootstrap-tokens/new")).text
    assert (await alice.post("/agents/bootstrap-tokens", data=form)).status_code == 200
    house.clock.advance(FRESH + 1)
    assert asks in (await alice.get("/agents/bootstrap-tokens/new")).text
    for typed, sentence in (
        ({}, "Enter your password: this decides who gets keys, and you last showed that it is you more than 5 minutes ago."),
        ({"current_password": "not it"}, "That is not your password. Enter the one you sign in with."),
    ):
        answer = await alice.post("/agents/bootstrap-tokens", data={**form, **typed})
        assert (answer.status_code, f">{sentence}<" in answer.text.replace("</svg> ", "</svg>")) == (422, True)
        assert 'href="#field-current-password"' in answer.text
    assert (await alice.post("/agents/bootstrap-tokens", data={**form, "current_password": PASSWORD})).status_code == 200
    assert (await alice.post("/agents/bootstrap-tokens", data=form)).status_code == 200, "for five minutes more"


@pytest.mark.anyio
async def test_what_hands_out_nothing_is_not_asked_for(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    house.clock.advance(FRESH + 1)
    assert 'name="current_password"' not in (await alice.get(f"/registry-credentials/{credential}/delete")).text
