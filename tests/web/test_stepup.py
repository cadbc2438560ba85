"""Who has to show again who they are: five minutes, to the millisecond."""

from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from tests.accounts.passkey_stories import without_password
from tests.personas import PASSWORD, House, settings_in
from tests.stories import store_credential
from webapp.clock import MINUTE
from webapp.web.principal import Principal
from webapp.web.stepup import FRESH, StepUp, is_fresh, step_up

ENGINES = ("sqlite",)  # what a form asks

SHOWN = 1_793_714_700_000
ALICE = Principal("m", "alice@example.com", "admin", "a", "Acme", "s", SHOWN, has_password=True, has_passkey=False, has_identity=False)

AT_NAME = {"WEBAPP_PUBLIC_URL": "https://keys.example.com"}
WITH_ISSUER = {
    "WEBAPP_OIDC_ISSUER": "https://id.example.com",
    "WEBAPP_OIDC_CLIENT_ID": "keys",
    "WEBAPP_OIDC_CLIENT_SECRET": "not-so-secret",
    "WEBAPP_OIDC_NAME": "Acme ID",
}


def asked(folder: Path, member: Principal, environ: dict[str, str], *, later: int = FRESH + 1, needed: bool = True) -> StepUp:
    """How a page of this member's asks, in a server that is set up so."""
    app = Starlette()
    app.state.settings, app.state.clock = settings_in(folder, **environ), lambda: SHOWN + later
    scope = {"type": "http", "method": "GET", "path": "/settings", "query_string": b"", "headers": [], "server": ("127.0.0.1", 8000)}
    return step_up(Request({**scope, "app": app, "state": {"principal": member}}), needed=needed)


def test_it_is_five_minutes() -> None:
    assert FRESH == 5 * MINUTE


@pytest.mark.parametrize(
    ("later", "fresh"), [(-1, True), (0, True), (1, True), (FRESH - 1, True), (FRESH, True), (FRESH + 1, False), (2**40, False)]
)
def test_it_is_fresh_for_five_minutes_and_no_longer(later: int, fresh: bool) -> None:
    assert is_fresh(ALICE, SHOWN + later) is fresh
    assert is_fresh(replace(ALICE, password_at=SHOWN + 1), SHOWN + later + 1) is fresh
    assert is_fresh(replace(ALICE, password_at=1000), 1000 + later) is fresh


@pytest.mark.parametrize(("later", "needed", "asks"), [(FRESH, True, False), (FRESH + 1, True, True), (FRESH + 1, False, False)])
def test_only_what_needs_it_asks_and_only_after_five_minutes(tmp_path: Path, later: int, needed: bool, asks: bool) -> None:
    assert asked(tmp_path, ALICE, {}, later=later, needed=needed) == StepUp(asks, password=True, passkey=False)


@pytest.mark.parametrize("environ", [{}, AT_NAME, WITH_ISSUER, AT_NAME | WITH_ISSUER])
@pytest.mark.parametrize("ways", range(8))
def test_it_names_the_ways_that_this_member_has_in_this_server(tmp_path: Path, ways: int, environ: dict[str, str]) -> None:
    password, passkey, identity = (bool(ways & bit) for bit in (1, 2, 4))
    member = replace(ALICE, has_password=password, has_passkey=passkey, has_identity=identity)
    provider = "Acme ID" if identity and environ.keys() >= WITH_ISSUER.keys() else ""
    has_name = environ.keys() >= AT_NAME.keys()  # an IP address has no passkeys
    wanted = StepUp(True, password, passkey and has_name, provider, "/settings" if provider else "")
    assert asked(tmp_path, member, environ) == wanted
    assert asked(tmp_path, member, environ, later=FRESH) == replace(wanted, needed=False, back=""), "nobody is led away for nothing"


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


@pytest.mark.anyio
async def test_who_has_no_password_is_not_told_that_it_was_wrong(house: House, alice: httpx2.AsyncClient) -> None:
    await without_password(house, house.alice)
    house.clock.advance(FRESH + 1)
    answer = await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m", "current_password": PASSWORD})
    assert answer.status_code == 422
    assert "Sign out and in again, then come back: this decides who gets keys" in answer.text
    assert "That is not your password" not in answer.text
    assert [row["action"] for row in await house.audit()] == [], "and nothing was tried"
