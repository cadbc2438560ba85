"""Alice invites dana, who joins in a browser of her own; a role counts at once, and who is removed is out at once."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled


@pytest.fixture
def dana(alice: Page, browser: Browser, settled: Settled) -> Iterator[Page]:
    """A page of another browser, in which nobody is signed in; with JavaScript as alice's."""
    alice.goto(steps.MEMBERS)
    context = open_context(browser, settled.server, java_script_enabled=steps.script_is_on(alice))
    yield context.new_page()
    context.close()


def choose(page: Page, email: str, act: str) -> None:
    """Choose an act of a member's menu."""
    page.goto(steps.MEMBERS)
    steps.member(page, email).get_by_role("button", name="Actions for").click()
    steps.member(page, email).get_by_role("link", name=act).click()


def test_dana_joins_gets_another_role_and_is_removed(alice: Page, dana: Page) -> None:
    email = f"{steps.fresh('dana')}@example.com"
    link = steps.invite(alice, email, "viewer")
    dana.goto(link)
    dana.get_by_label("Password", exact=True).fill("too short")
    dana.get_by_label("Password again").fill("too short")
    dana.get_by_role("button", name="Join").click()
    steps.expect_summary(dana, "Use at least 15")
    steps.join(dana, link)
    expect(dana.locator(".member-role")).to_have_text("viewer")
    expect(dana.get_by_role("link", name="New registry credential")).to_have_count(0)
    dana.goto(steps.MEMBERS)
    expect(steps.member(dana, steps.EMAIL)).to_be_visible()
    expect(dana.get_by_role("link", name="Invite member")).to_have_count(0)

    choose(alice, email, "Change role")
    alice.get_by_role("radio", name=re.compile("^Editor")).check()
    alice.get_by_role("button", name="Change role").click()
    expect(alice.get_by_text("Role changed.")).to_be_visible()
    expect(steps.member(alice, email)).to_contain_text("editor")
    dana.goto("/registry-credentials")
    dana.get_by_role("link", name="New registry credential").first.click()
    expect(dana.get_by_role("heading", name="New registry credential")).to_be_visible()

    steps.make_bootstrap_token(dana)
    choose(alice, email, "Remove")
    expect(alice.get_by_label("Revoke 1 active bootstrap token, too")).to_be_checked()
    alice.get_by_role("button", name="Remove member").click()
    expect(alice.get_by_text("Member removed.")).to_be_visible()
    expect(steps.member(alice, email)).to_have_count(0)
    dana.goto("/images")
    expect(dana.get_by_role("heading", name="Sign in")).to_be_visible()
    dana.goto(link)
    expect(dana.get_by_role("heading", name="This invitation does not work")).to_be_visible()
    expect(dana.get_by_text("each link works once")).to_be_visible()


def test_a_revoked_invitation_is_dead(alice: Page, dana: Page) -> None:
    email = f"{steps.fresh('eve')}@example.com"
    link = steps.invite(alice, email, "admin")
    choose(alice, email, "Revoke")
    alice.get_by_role("button", name="Revoke invitation").click()
    expect(alice.get_by_text("Invitation revoked.")).to_be_visible()
    expect(steps.member(alice, email)).to_have_count(0)
    dana.goto(link)
    expect(dana.get_by_text("This invitation was taken back.")).to_be_visible()


def test_what_is_wrong_with_an_invitation_is_said_in_the_form(alice: Page) -> None:
    alice.goto(steps.MEMBERS)
    alice.get_by_role("link", name="Invite member").click()
    alice.get_by_label("Email").fill(steps.EMAIL)
    alice.get_by_role("radio", name=re.compile("^Admin")).check()
    alice.get_by_role("button", name="Make the link").click()
    steps.expect_summary(alice, "is a member of this account already")
    expect(alice.get_by_label("Email")).to_have_value(steps.EMAIL)
    expect(alice.get_by_role("radio", name=re.compile("^Admin"))).to_be_checked()


def test_the_last_admin_cannot_leave(alice: Page) -> None:
    choose(alice, steps.EMAIL, "Leave")
    alice.get_by_role("button", name="Leave").click()
    steps.expect_summary(alice, f"{steps.EMAIL} is the last admin")


def test_somebody_else_is_asked_to_sign_out_first(alice: Page, dana: Page) -> None:
    email = f"{steps.fresh('fay')}@example.com"
    link = steps.invite(alice, email, "editor")
    alice.goto(link)
    expect(alice.get_by_text(f"You are signed in as {steps.EMAIL}.")).to_be_visible()
    expect(alice.get_by_role("button", name="Join")).to_have_count(0)
    expect(alice.get_by_role("button", name="Sign out")).to_be_visible()
    steps.join(dana, link)
    dana.goto(steps.MEMBERS)
    steps.member(dana, email).get_by_role("button", name="Actions for").click()
    steps.member(dana, email).get_by_role("link", name="Leave").click()
    dana.get_by_role("button", name="Leave").click()
    expect(dana.get_by_text("You have left the account.")).to_be_visible()


def test_a_changed_password_ends_the_other_sessions(alice: Page, dana: Page, browser: Browser, settled: Settled) -> None:
    email, new = f"{steps.fresh('gus')}@example.com", "tin roof rusted in the rain"
    steps.join(dana, steps.invite(alice, email, "viewer"))
    context = open_context(browser, settled.server)
    elsewhere = context.new_page()
    elsewhere.goto("/login")
    elsewhere.get_by_label("Email").fill(email)
    elsewhere.get_by_label("Password", exact=True).fill(steps.PASSWORD)
    elsewhere.get_by_role("button", name="Sign in").click()
    expect(elsewhere.locator(".member-email")).to_have_text(email)
    dana.goto("/settings/password")
    for label, text in (("Your password", "not the one of now"), ("New password", new), ("New password again", new)):
        dana.get_by_label(label, exact=True).fill(text)
    dana.get_by_role("button", name="Change password").click()
    steps.expect_summary(dana, "That is not your password.")
    for label, text in (("Your password", steps.PASSWORD), ("New password", new), ("New password again", new)):
        dana.get_by_label(label, exact=True).fill(text)
    dana.get_by_role("button", name="Change password").click()
    dana.wait_for_url("**/settings/sign-in")
    elsewhere.goto("/images")
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()
