"""A page of somebody else, open beside ours while alice is signed in: it changes nothing, whatever it sends and to whichever route."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.routing import Route

from e2e import steps
from e2e.browser import broken, open_context
from e2e.conftest import Settled
from e2e.foreign import Foreign, foreign_site
from webapp.app import ROUTES

SAFE = {"GET", "HEAD", "OPTIONS"}
FETCHED, FRAMED = 3, 1
"""Requests for each POST for which no browser asks leave: of a form's two kinds without CORS and one with it, and a form into a frame."""
FRAMES_REFUSED = """count => [...document.querySelectorAll("iframe")].filter(frame => {
  try { return frame.contentDocument === null; } catch { return true; }
}).length === count"""
SITES = ["same_site", "cross_site"]


def unsafe_routes() -> list[tuple[str, str]]:
    """Every method and path that may change something."""
    return [(method, route.path) for route in ROUTES if isinstance(route, Route) for method in sorted((route.methods or set()) - SAFE)]


def everything(settled: Settled) -> str:
    """A digest of the whole store: of every row, the audit log's as well; but for the count of what the keys have wrapped."""
    with closing(sqlite3.connect(f"file:{settled.server.data_dir / 'registry-credentials.sqlite3'}?mode=ro", uri=True)) as database:
        rows = (line for line in database.iterdump() if not line.startswith('INSERT INTO "keyring"'))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


@pytest.fixture(scope="module")
def records(settled: Settled, browser: Browser) -> dict[str, str]:
    """One record of each kind that an address can name: its id by the path before it."""
    context = open_context(browser, settled.server, storage_state=settled.state)
    page = context.new_page()
    steps.given_credential(page, "mine")
    steps.given_image(page, "mine", "ghcr.io/acme/ubuntu:24.04")
    for kind in ("secrets", "variables"):
        steps.given(page, f"/{kind}", {"name": "MINE", "value": "a value"})
    found = {}
    for path in ("/registry-credentials", "/images", "/secrets", "/variables"):
        link = re.search(rf'href="{path}/(\w{{20,}})"', page.request.get(path).text())
        assert link is not None
        found[path] = link[1]
    context.close()
    return found


@pytest.fixture(scope="module")
def foreign(settled: Settled) -> Iterator[Foreign]:
    """Somebody else's site."""
    with foreign_site(f"{settled.server.url}/registry-credentials") as site:
        yield site


@pytest.fixture
def victim(settled: Settled, browser: Browser) -> Iterator[Page]:
    """A page of alice's browser, signed in."""
    context = open_context(browser, settled.server, storage_state=settled.state)
    yield context.new_page()
    context.close()


def addressed(settled: Settled, records: dict[str, str], path: str) -> str:
    """The path's address, about alice's record where there is one."""
    known = next((found for prefix, found in records.items() if path.startswith(f"{prefix}/{{")), "0" * 32)
    return settled.server.url + re.sub(r"{(\w+)}", lambda name: "1" if name[1] == "number" else known, path)


class Wire:
    """What a page sends, and what is answered, as the browser's network sees it: also what the page itself is not shown."""

    def __init__(self, page: Page) -> None:
        self._sent: dict[str, tuple[str, str]] = {}
        self._statuses: list[tuple[str, int]] = []
        self.cookies: set[str] = set()
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._note_sent)
        session.on("Network.requestWillBeSentExtraInfo", self._note_cookies)
        session.on("Network.responseReceivedExtraInfo", lambda told: self._statuses.append((told["requestId"], told["statusCode"])))

    def _note_sent(self, told: dict[str, Any]) -> None:
        self._sent[told["requestId"]] = told["request"]["method"], told["request"]["url"]

    def _note_cookies(self, told: dict[str, Any]) -> None:
        self.cookies |= {found["cookie"]["name"] for found in told["associatedCookies"] if not found["blockedReasons"]}

    def answered(self) -> list[tuple[str, str, int]]:
        """The method, the address and the status of everything that was sent."""
        return [(*self._sent[request], status) for request, status in self._statuses if request in self._sent]


@pytest.mark.parametrize("site", SITES)
def test_no_unsafe_route_takes_a_request_of_another_origin(
    settled: Settled, records: dict[str, str], foreign: Foreign, victim: Page, site: str
) -> None:
    routes = [(method, addressed(settled, records, path)) for method, path in unsafe_routes()]
    posted = [address for method, address in routes if method == "POST"]
    assert len(posted) >= 30
    before = everything(settled)
    victim.goto(getattr(foreign, site))
    wire = Wire(victim)
    kinds = victim.evaluate("routes => fetchAll(routes)", routes)
    assert set(kinds) == {"failed"}, "no answer can be read, not even that there is one"
    victim.evaluate("addresses => postAll(addresses)", posted)
    victim.wait_for_function(FRAMES_REFUSED, arg=len(posted))
    victim.wait_for_timeout(0)  # what the network has told by then is taken in
    answered = [told for told in wire.answered() if told[1].startswith(settled.server.url) and told[0] not in SAFE]
    assert len(answered) == len(posted) * (FETCHED + FRAMED), "what a browser sends without asking has arrived"
    assert [(method, url, status) for method, url, status in answered if status not in ({401, 429} if "/api/" in url else {403})] == []
    assert ("session" in wire.cookies) == (site == "same_site"), "SameSite=Lax keeps it from other sites, and from no other origin"
    assert everything(settled) == before
    assert all("frame-ancestors" in said for said in broken)
    broken.clear()  # that is the other page's doing


@pytest.mark.parametrize("site", SITES)
def test_a_form_that_takes_alice_along_is_refused_with_a_sentence(settled: Settled, foreign: Foreign, victim: Page, site: str) -> None:
    before = everything(settled)
    victim.goto(getattr(foreign, site))
    victim.get_by_role("button", name="win another").click()
    expect(victim.get_by_text("This request did not come from a page of")).to_be_visible()
    assert everything(settled) == before


@pytest.mark.parametrize("site", SITES)
def test_a_link_of_another_site_leads_in(foreign: Foreign, victim: Page, site: str) -> None:
    victim.goto(getattr(foreign, site))
    victim.get_by_role("link", name="win a prize").click()
    expect(victim.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("path", ["/registry-credentials", "/login", "/livez", "/static/app.css"])
def test_no_page_is_shown_in_a_frame_of_another_site(settled: Settled, foreign: Foreign, victim: Page, site: str, path: str) -> None:
    victim.goto(getattr(foreign, site))
    with victim.expect_event("console", lambda message: "frame-ancestors" in message.text):
        victim.evaluate("address => frame(address)", settled.server.url + path)
    framed = victim.frame("framed")
    assert framed is None or "chrome-error" in framed.url
    broken.clear()
