"""The cross-site rule: what lets an unsafe request pass, and what does not."""

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from tests.personas import House
from tests.stories import bearer, bootstrap_token, enrolled
from webapp.errors import Forbidden
from webapp.web.csrf import refuse_cross_site

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # where a request may come from

LOOPBACK = "http://127.0.0.1:8000"
PROXIED = "https://keys.example"


def request(method: str, headers: dict[str, str], public_url: str) -> Request:
    """A request to a server whose settings hold no more than its public URL."""
    app = Starlette()
    app.state.settings = type("Settings", (), {"public_url": public_url})()
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "headers": raw, "app": app, "path": "/", "query_string": b""})


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_link_from_anywhere_may_be_followed(method: str, headers: dict[str, str]) -> None:
    refuse_cross_site(request(method, headers, LOOPBACK))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "PROPFIND"])
@pytest.mark.parametrize(
    ("public_url", "headers"),
    [
        (LOOPBACK, {"Sec-Fetch-Site": "same-origin"}),
        (LOOPBACK, {"Sec-Fetch-Site": "same-origin", "Origin": LOOPBACK}),
        (LOOPBACK, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}),  # as with a referrer policy that says nothing
        (LOOPBACK, {"Origin": LOOPBACK}),
        (PROXIED, {"Origin": PROXIED}),
    ],
)
def test_our_own_page_may_change_things(method: str, public_url: str, headers: dict[str, str]) -> None:
    refuse_cross_site(request(method, headers, public_url))


@pytest.mark.parametrize("method", ["POST", "DELETE", "PROPFIND"])
@pytest.mark.parametrize(
    ("public_url", "headers"),
    [
        (LOOPBACK, {}),
        *(
            (LOOPBACK, {"Sec-Fetch-Site": site})
            for site in ("cross-site", "same-site", "none", "", "Same-Origin", "same-origin, cross-site")
        ),
        # What the browser says of itself counts, whatever Origin adds.
        *((LOOPBACK, {"Sec-Fetch-Site": site, "Origin": LOOPBACK}) for site in ("cross-site", "same-site", "none", "")),
        *(
            (LOOPBACK, {"Origin": origin})
            for origin in (
                "",
                "null",
                "https://evil.example",
                "https://127.0.0.1:8000",
                "http://127.0.0.1",
                "http://127.0.0.1:8001",
                "http://localhost:8000",
                "http://127.0.0.1:8000/",
                "http://127.0.0.1:8000.evil.example",
                "http://evil.example#http://127.0.0.1:8000",
                "127.0.0.1:8000",
            )
        ),
        (PROXIED, {"Origin": "http://keys.example"}),
        (PROXIED, {"Origin": "https://sub.keys.example"}),
        (PROXIED, {"Referer": f"{PROXIED}/images", "Host": "keys.example"}),
    ],
)
def test_anybody_else_may_not(method: str, public_url: str, headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as caught:
        refuse_cross_site(request(method, headers, public_url))
    assert public_url in str(caught.value), "it says where to go"
    assert "WEBAPP_PUBLIC_URL" in str(caught.value), "and what an operator may have wrong"


async def test_it_is_the_public_url_that_counts_and_not_the_host_header(house: House, alice: httpx2.AsyncClient) -> None:
    del alice.headers["sec-fetch-site"]
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert (await alice.post("/agents/bootstrap-tokens", data={}, headers=headers)).status_code == 403
    assert (await alice.post("/agents/bootstrap-tokens", data={}, headers={"Host": "evil.example", "Origin": LOOPBACK})).status_code == 200


@pytest.mark.parametrize("path", ["/login", "/setup", "/logout"])
async def test_it_stands_before_the_doors_too(stranger: httpx2.AsyncClient, path: str) -> None:
    answer = await stranger.post(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_the_agent_api_reads_no_cookie_and_asks_for_no_origin(house: House, alice: httpx2.AsyncClient) -> None:
    token = await bootstrap_token(alice)
    for headers in ({}, {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}):
        answer = await alice.post("/api/v1/enroll", json={"name": f"node-{len(headers)}"}, headers={**bearer(token), **headers})
        assert answer.status_code == 201
    _, agent_token = await enrolled(house, alice)
    assert (await alice.get("/api/v1/provision", headers=bearer(agent_token))).status_code == 409
