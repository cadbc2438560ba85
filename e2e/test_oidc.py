"""Alice signs in with her company's OpenID Connect issuer, which is another site; with JavaScript on, and off."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import BOTH
from e2e.here import serve_here
from e2e.server import Served
from e2e.test_pages import open_with_axe, problems
from tests.personas import TestClock
from tests.real.issuer import PASSWORD, Issuer
from webapp.clock import MINUTE


@dataclass(frozen=True)
class Place:
    """A control plane whose clock a journey moves, with alice in it; the issuer has the same time."""

    server: Served
    clock: TestClock
    state: Path


@pytest.fixture(scope="module")
def place(browser: Browser, issuer_server: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, clock = tmp_path_factory.mktemp("oidc"), TestClock()
    with serve_here(folder / "server", clock, **issuer_server.settings()) as server:
        context = open_context(browser, server)
        steps.set_up(context.new_page(), server)
        context.storage_state(path=folder / "alice.json")
        context.close()
        yield Place(server, clock, folder / "alice.json")


@pytest.fixture(params=BOTH)
def page(request: pytest.FixtureRequest, browser: Browser, place: Place, issuer: Issuer) -> Iterator[Page]:
    """A page of a browser that is signed in nowhere."""
    issuer.clock = lambda: place.clock() / 1000
    context = open_context(browser, place.server, java_script_enabled=request.param == "with-script")
    yield context.new_page()
    context.close()


def at_issuer(page: Page, user: str = "alice") -> None:
    """Sign in on the issuer's page, which has been opened."""
    expect(page.get_by_role("heading", name="Sign in to Acme ID")).to_be_visible()
    page.get_by_label("User").fill(user)
    page.get_by_label("Password at Acme").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()


def sign_in(page: Page, start: str = "/login") -> None:
    page.goto(start)
    page.get_by_role("link", name="Continue with Acme ID").click()
    at_issuer(page)


def test_alice_signs_in_through_the_issuer_and_arrives_where_she_wanted_to(page: Page, place: Place, issuer: Issuer) -> None:
    page.goto("/images?kind=official")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, page.url)
    expect(page.get_by_role("heading", name="Images", level=1)).to_be_visible()
    assert page.url == f"{place.server.url}/images?kind=official", "the code is not in the address"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Continue with Acme ID").click()
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Something went wrong")
    assert issuer.verified_pkce == 2


def test_a_refusal_says_why_and_leads_on(page: Page, issuer: Issuer) -> None:
    page.goto("/login?next=/images")
    page.get_by_role("link", name="Continue with Acme ID").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="You cancelled at Acme ID")).to_be_visible()
    assert "code" not in page.url
    page.get_by_role("link", name="Try again with Acme ID").click()
    issuer.people["alice"].email = "somebody@example.net"
    issuer.people["alice"].subject = "s-1"
    at_issuer(page)
    expect(page.get_by_text("knows you as somebody@example.net, and nobody here has that address")).to_be_visible()
    page.get_by_role("link", name="Sign in another way").click()
    steps.sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()


def test_an_issuer_that_is_down_leaves_the_password(page: Page, place: Place, issuer: Issuer) -> None:
    place.clock.advance(61 * MINUTE)  # what it said of itself is forgotten by now
    issuer.down = {"*": (503, b"")}
    page.goto("/login")
    page.get_by_role("link", name="Continue with Acme ID").click()
    expect(page.get_by_text("Acme ID cannot be asked just now who you are.")).to_be_visible()
    page.get_by_role("link", name="Sign in").click()
    steps.sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    place.clock.advance(MINUTE)


def test_alice_confirms_with_the_issuer_before_she_makes_a_token(page: Page, place: Place) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    place.clock.advance(6 * MINUTE)
    page.goto("/agents")
    page.get_by_role("link", name="New bootstrap token").first.click()
    expect(page.get_by_label("Your password")).to_be_visible()
    page.get_by_role("link", name="Confirm with Acme ID").click()
    at_issuer(page)
    expect(page.get_by_text("Confirmed. You are not asked again for 5 minutes.")).to_be_visible()
    expect(page.get_by_label("Your password")).to_have_count(0)
    page.get_by_role("button", name="Create bootstrap token").click()
    assert page.get_by_role("textbox", name="Bootstrap token").input_value().startswith("rc_b_")


def test_alice_unlinks_and_links_again(page: Page, place: Place) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    page.goto("/settings/sign-in")
    page.get_by_role("button", name="Actions for Acme ID").click()
    page.get_by_role("link", name="Unlink").click()
    expect(page.get_by_role("heading", name="Unlink Acme ID")).to_be_visible()
    page.get_by_role("button", name="Unlink").click()
    expect(page.get_by_text("Unlinked.")).to_be_visible()
    page.get_by_role("link", name="Link with Acme ID").click()
    expect(page.get_by_text("Linked. You can sign in that way from now on.")).to_be_visible()
    expect(page.get_by_role("row", name="Acme ID")).to_be_visible()


def test_its_pages_are_accessible_and_fit(browser: Browser, place: Place, issuer: Issuer) -> None:
    issuer.clock = lambda: place.clock() / 1000
    context = open_with_axe(browser, place.server)
    page = context.new_page()
    page.goto("/login")
    found = problems(page, "sign-in")
    page.get_by_role("link", name="Continue with Acme ID").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
    found += problems(page, "refused")
    sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    place.clock.advance(6 * MINUTE)
    page.goto("/settings/sign-in")
    found += problems(page, "your sign-in")
    page.get_by_role("button", name="Actions for Acme ID").click()
    page.get_by_role("link", name="Unlink").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    found += problems(page, "unlink")
    page.goto("/agents/bootstrap-tokens/new")
    found += problems(page, "step-up")
    context.close()
    assert found == []
