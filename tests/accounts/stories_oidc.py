"""What a browser does between this server and the issuer, for the tests of signing in with OpenID Connect."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.personas import House
from tests.real.issuer import PASSWORD, Issuer

CALLBACK = "/login/oidc/callback"


def environ(issuer: Issuer, **more: str) -> dict[str, str]:
    """The variables of a house whose people may come from the issuer."""
    return issuer.settings(**more)


def same_time(house: House, issuer: Issuer) -> None:
    """Let the issuer's clock be the house's."""
    issuer.clock = lambda: house.clock() / 1000


async def begin(client: httpx2.AsyncClient, start: str = "/login/oidc") -> str:
    """Ask to sign in; returns the address at the issuer that the browser is sent to."""
    answer = await client.get(start)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def at_issuer(address: str, user: str = "alice", cookie: str = "") -> str:
    """Sign in at the issuer on its page; returns the address that the browser is sent back to."""
    async with httpx2.AsyncClient(headers={"Cookie": cookie} if cookie else {}) as browser:
        page = await browser.get(address)
        if page.status_code == 303:
            return page.headers["location"]
        assert page.status_code == 200, page.text
        found = re.search(r'name="asked" value="([^"]*)"', page.text)
        assert found is not None
        asked = unescape(found[1])
        host = urlsplit(address)
        answer = await browser.post(f"{host.scheme}://{host.netloc}/authorize", data={"asked": asked, "user": user, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def back(client: httpx2.AsyncClient, address: str) -> httpx2.Response:
    """Follow the way back; a refusal's page is followed to its sentence."""
    answer = await client.get(address)
    if answer.headers.get("location") == "/login/oidc/refused":
        assert "session" not in "".join(answer.headers.get_list("set-cookie"))
        return await client.get("/login/oidc/refused")
    return answer


async def sign_in(client: httpx2.AsyncClient, user: str = "alice", start: str = "/login/oidc") -> httpx2.Response:
    """The whole way."""
    return await back(client, await at_issuer(await begin(client, start), user))


def query(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
