"""Passkeys in a real browser, with Chromium's own virtual authenticator, on the one address without TLS that has them: localhost."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled
from e2e.here import serve_here
from e2e.server import Served
from e2e.test_pages import problems
from tests.personas import TestClock
from webapp.clock import MINUTE

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass
class Person:
    """Alice at her laptop: a page, the laptop's authenticator, and the server's clock."""

    page: Page
    server: Served
    clock: TestClock
    session: CDPSession
    device: str

    def tell(self, command: str, **more: Any) -> Any:
        """Tell the browser's authenticators something."""
        return self.session.send(f"WebAuthn.{command}", more)

    def plug_in(self, **other: Any) -> str:
        """Plug another one in."""
        plugged: str = self.tell("addVirtualAuthenticator", options={**DEVICE, **other})["authenticatorId"]
        return plugged

    def add(self, name: str) -> None:
        """Add a passkey, in the dialog."""
        self.page.goto("/settings/sign-in")
        self.page.get_by_role("link", name="Add a passkey").click()
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_role("button", name="Add passkey").click()

    def sign_out(self) -> None:
        """Sign out."""
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_text("You are signed out.")).to_be_visible()

    def sign_in(self) -> None:
        """Press the button on the page of the sign-in."""
        self.page.get_by_role("button", name="Sign in with a passkey").click()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, TestClock]]:
    """One server for the file, which browsers call localhost."""
    clock = TestClock()
    with serve_here(tmp_path_factory.mktemp("served") / "server", clock, host="localhost") as running:
        yield running, clock


@pytest.fixture(scope="module")
def state(served: tuple[Served, TestClock], browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice's browser, after she has set it up."""
    saved = tmp_path_factory.mktemp("state") / "alice.json"
    context = open_context(browser, served[0])
    steps.set_up(context.new_page(), served[0])
    context.storage_state(path=saved)
    context.close()
    return saved


@pytest.fixture
def alice(served: tuple[Served, TestClock], state: Path, browser: Browser) -> Iterator[Person]:
    """Alice, signed in anew by her password, with a laptop that has no passkeys and a server that knows none of hers."""
    context = open_context(browser, served[0])
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    person = Person(page, *served, session, "")
    person.device = person.plug_in()
    page.goto("/login")
    steps.sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    yield person
    page.goto("/settings/sign-in")
    for link in [menu.get_attribute("href") for menu in page.locator("a[href$='/remove']").all()]:
        steps.given(page, link or "", {"current_password": steps.PASSWORD})
    context.close()


def test_alice_adds_two_passkeys_and_signs_in_with_one_and_no_password(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    alice.add("the same laptop")
    expect(page.get_by_text("This device has a passkey of yours already.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("the same laptop")
    alice.tell("removeVirtualAuthenticator", authenticatorId=alice.device)
    alice.plug_in(transport="usb")
    alice.add("blue key")
    expect(page.get_by_role("rowheader", name="blue key")).to_be_visible()
    expect(page.get_by_role("rowheader", name="work laptop")).to_be_visible()
    alice.sign_out()
    page.goto("/settings/sign-in")
    expect(page).to_have_url(re.compile("/login"))
    alice.sign_in()
    expect(page.get_by_role("heading", name="Your sign-in", level=1)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="blue key")).not_to_contain_text("never")
    expect(page.get_by_role("row").filter(has_text="work laptop")).to_contain_text("never")


def test_alice_confirms_with_a_passkey_in_a_dialog(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    alice.clock.advance(6 * MINUTE)
    page.goto("/agents")
    page.get_by_role("link", name="New bootstrap token").first.click()
    page.get_by_label("Description").fill("rack 7")
    page.get_by_role("button", name="Create bootstrap token").click()
    steps.expect_summary(page, "Enter your password, or confirm with a passkey")
    page.get_by_role("button", name="Confirm with a passkey").click()
    expect(page.get_by_text("Confirmed. It is not asked again for 5 minutes.")).to_be_focused()
    expect(page.get_by_label("Description")).to_have_value("rack 7")
    page.get_by_role("button", name="Create bootstrap token").click()
    assert page.get_by_role("textbox", name="Bootstrap token").input_value().startswith("rc_b_")


def test_adding_asks_again_and_takes_a_passkey_for_it(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    alice.clock.advance(6 * MINUTE)
    alice.add("")  # which asks again, in the same dialog
    steps.expect_summary(page, "Enter a name", "Enter your password, or confirm with a passkey")
    assert problems(page, "add a passkey") == []
    page.get_by_role("button", name="Confirm with a passkey").click()
    expect(page.get_by_text("Confirmed.")).to_be_focused()
    alice.tell("removeVirtualAuthenticator", authenticatorId=alice.device)
    alice.plug_in()
    page.get_by_label("Name", exact=True).fill("phone")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.get_by_role("rowheader", name="phone")).to_be_visible()


def test_a_removed_passkey_signs_nobody_in(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    page.get_by_role("button", name="Actions for work laptop").click()
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove passkey").click()
    expect(page.get_by_text("Passkey removed.")).to_be_visible()
    alice.sign_out()
    alice.sign_in()
    expect(page.locator(".passkey [role=alert]")).to_contain_text("This passkey was not accepted")
    steps.sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()


def test_what_the_person_or_the_device_refuses_is_said(alice: Person) -> None:
    page = alice.page
    alice.tell("setUserVerified", authenticatorId=alice.device, isUserVerified=False)
    alice.add("work laptop")
    expect(page.get_by_text("Nothing was done: it was cancelled, or took too long. Try again.")).to_be_visible()
    alice.tell("setUserVerified", authenticatorId=alice.device, isUserVerified=True)
    page.get_by_role("button", name="Add passkey").click()
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    alice.sign_out()
    alice.tell("setUserVerified", authenticatorId=alice.device, isUserVerified=False)
    alice.sign_in()
    said = page.locator(".passkey [role=alert]")
    expect(said).to_have_text("Nothing was done: it was cancelled, or took too long. Try again.")
    page.context.set_offline(True)
    alice.sign_in()
    expect(said).to_have_text("No answer from the server. Check the connection.")
    page.context.set_offline(False)
    alice.tell("setUserVerified", authenticatorId=alice.device, isUserVerified=True)
    alice.sign_in()
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()


def test_a_session_that_has_ended_leads_to_the_sign_in_and_back(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name", exact=True).fill("phone")
    page.context.clear_cookies(name="session")
    page.get_by_role("button", name="Add passkey").click()
    expect(page).to_have_url(re.compile(r"/login\?next=/settings/sign-in$"))
    alice.sign_in()
    expect(page.get_by_role("heading", name="Your sign-in", level=1)).to_be_visible()


def test_the_pages_are_accessible_and_fit(alice: Person) -> None:
    page = alice.page
    alice.add("work laptop")
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    found = problems(page, "your sign-in")
    remove = page.locator("a[href$='/remove']").first.get_attribute("href") or ""
    alice.clock.advance(6 * MINUTE)
    for address in ("/settings/sign-in/passkeys/new", remove, remove.replace("/remove", "/rename"), "/agents/bootstrap-tokens/new"):
        page.goto(address)
        found += problems(page, address)
    page.get_by_role("button", name="Confirm with a passkey").click()
    expect(page.get_by_text("Confirmed.")).to_be_focused()
    found += problems(page, "confirmed")
    alice.sign_out()
    found += problems(page, "sign-in")
    alice.sign_in()
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    assert found == []


def test_an_ip_address_has_no_passkeys_and_the_page_says_so(alice_scripted: Page, settled: Settled) -> None:
    page = alice_scripted
    page.goto("/settings/sign-in")
    there = settled.server.url.replace("127.0.0.1", "localhost")
    expect(page.get_by_text("Passkeys cannot be used at this address.")).to_be_visible()
    expect(page.get_by_text(f"Start it with WEBAPP_PUBLIC_URL={there}, and open that address.")).to_be_visible()
    expect(page.get_by_role("link", name="Add a passkey")).to_have_count(0)
    page.goto("/settings/sign-in/passkeys/new")
    expect(page.get_by_text("A passkey belongs to a host name")).to_be_visible()


def test_without_script_there_is_no_button_and_the_rest_works(served: tuple[Served, TestClock], state: Path, browser: Browser) -> None:
    context = open_context(browser, served[0], java_script_enabled=False)
    page = context.new_page()
    page.goto("/login")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
    steps.sign_in(page)
    page.goto("/settings/sign-in/passkeys/new")
    expect(page.get_by_text("Adding a passkey takes JavaScript, and a browser that knows passkeys.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_hidden()
    context.close()


def test_the_script_is_small() -> None:
    assert (Path(__file__).parent.parent / "static" / "passkeys.js").stat().st_size <= 2560
