"""What people and their password managers find in the pages of set-up, sign-in and Settings: labels, buttons, and never a password."""

import re

import httpx2
import pytest

from tests.personas import PASSWORD, House

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # how it looks

_LABEL = re.compile(r'<label[^>]*for="field-([^"]+)"[^>]*>(.*?)</label>', re.DOTALL)
_INPUT = re.compile(r"<input[^>]*>")


def labels(page: str) -> dict[str, str]:
    return {name: re.sub(r"<[^>]+>", "", text).strip() for name, text in _LABEL.findall(page)}


def password_inputs(page: str) -> list[str]:
    return [tag for tag in _INPUT.findall(page) if 'type="password"' in tag]


async def test_the_set_up_page_is_labelled(empty_house: House) -> None:
    token = empty_house.store.vault.setup_token().reveal().decode()
    page = (await (await empty_house.client()).get("/setup", params={"token": token})).text
    found = labels(page)
    assert (found["account-name"], found["email"], found["password"]) == ("Organization name", "Email", "Password")
    assert ">Create account</button>" in page
    assert password_inputs(page)
    for tag in password_inputs(page):
        assert 'autocomplete="new-password"' in tag
        assert " value=" not in tag


async def test_the_sign_in_page_is_labelled_and_helps_password_managers(house: House, stranger: httpx2.AsyncClient) -> None:
    page = (await stranger.get("/login")).text
    assert labels(page) == {"email": "Email", "password": "Password"}
    assert ">Sign in</button>" in page
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page


@pytest.mark.parametrize("password", [PASSWORD, "a password that is not right"])
async def test_no_answer_holds_the_password(house: House, stranger: httpx2.AsyncClient, password: str) -> None:
    data = {"email": "nobody@example.com", "password": password}
    for headers in ({}, {"HX-Request": "true"}):
        answer = await stranger.post("/login", data=data, headers=headers)
        assert answer.status_code == 422
        assert password not in answer.text
        assert all(" value=" not in tag for tag in password_inputs(answer.text))
        assert all(password not in value for value in answer.headers.values())


async def test_an_editor_sees_the_settings_and_cannot_change_them(house: House, erin: httpx2.AsyncClient) -> None:
    page = (await erin.get("/settings")).text
    assert "Organization name" in page
    assert 'action="/settings"' not in page
    assert (await erin.post("/settings", data={"account_name": "Erin's"})).status_code == 403
    assert (await house.store.accounts.account(house.alice.actor)).name == "Acme"


async def test_an_admin_finds_the_settings_labelled(alice: httpx2.AsyncClient) -> None:
    page = (await alice.get("/settings")).text
    found = labels(page)
    assert (found["account-name"], found["default-image-id"]) == ("Organization name", "Default image")
    assert ">Save</button>" in page
