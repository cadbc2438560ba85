"""Alice sets up her account with the printed link, signs out, and signs in again."""

import re

from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled
from e2e.server import Server

HOME = "Registry Credentials"


def test_the_printed_link_leads_to_an_empty_list_and_works_once(page: Page, server: Server, browser: Browser) -> None:
    page.goto(server.setup_link)
    expect(page.get_by_role("heading", name="Set up your account", level=1)).to_be_visible()
    short = "too short"
    page.get_by_label("Organization name").fill("Acme Machines")
    page.get_by_label("Email").fill(steps.EMAIL)
    page.get_by_label("Password", exact=True).fill(short)
    with page.expect_response("**/setup") as answered:
        steps.save(page)
    assert answered.value.status == 422
    assert short.encode() not in answered.value.body()
    steps.expect_summary(page, f"Password: The password has {len(short)} characters. Use at least 15")
    expect(page.get_by_label("Organization name")).to_have_value("Acme Machines")
    expect(page.get_by_label("Email")).to_have_value(steps.EMAIL)
    password = page.get_by_label("Password", exact=True)
    expect(password).to_have_value(short if steps.script_is_on(page) else "")
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(password).to_have_accessible_description(re.compile("^At least 15 characters.*The password has 9 characters"))

    password.fill(steps.PASSWORD)
    steps.save(page)
    expect(page.get_by_role("heading", name=HOME, level=1)).to_be_visible()
    expect(page).to_have_url(f"{server.url}/registry-credentials")
    expect(page.get_by_text("Your account is ready.")).to_be_visible()
    expect(page.get_by_role("heading", name="No registry credentials yet")).to_be_visible()
    expect(page.locator("#credentials-rows").get_by_role("row")).to_have_count(0)
    expect(page.get_by_role("banner")).to_contain_text("Acme Machines")

    again = page.goto(server.setup_link)
    assert again is not None
    assert again.status == 404
    outsider = open_context(browser, server)
    assert outsider.request.get(server.setup_link).status == 404
    outsider.close()


def test_alice_signs_out_and_in_again(stranger: Page, settled: Settled) -> None:
    stranger.goto("/login")
    steps.sign_in(stranger)
    expect(stranger.get_by_role("heading", name=HOME, level=1)).to_be_visible()
    stranger.get_by_role("button", name="Sign out").click()
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(stranger.get_by_text("You are signed out.")).to_be_visible()

    stranger.goto("/images?kind=official")
    expect(stranger).to_have_url(f"{settled.server.url}/login?next=/images%3Fkind%3Dofficial")
    steps.sign_in(stranger, password="not the password at all")
    steps.expect_summary(stranger, "The email address or the password is not right.")
    expect(stranger.get_by_label("Email")).to_have_value(steps.EMAIL)
    expect(stranger.get_by_label("Password", exact=True)).to_have_value("")
    steps.sign_in(stranger)
    expect(stranger).to_have_url(f"{settled.server.url}/images?kind=official")
    expect(stranger.get_by_role("link", name="Debian 12")).to_be_visible()


def test_a_link_to_the_sign_in_cannot_lead_to_another_site(stranger: Page, settled: Settled) -> None:
    stranger.goto("/login?next=//example.net/")
    steps.sign_in(stranger)
    expect(stranger).to_have_url(f"{settled.server.url}/registry-credentials")


def test_a_session_that_ended_meanwhile_leads_to_the_sign_in_and_back(stranger: Page, settled: Settled) -> None:
    stranger.goto("/login")
    steps.sign_in(stranger)
    stranger.get_by_role("link", name="Images").click()
    expect(stranger.get_by_role("heading", name="Images", level=1)).to_be_visible()
    other_tab = stranger.context.new_page()
    other_tab.goto("/registry-credentials")
    other_tab.get_by_role("button", name="Sign out").click()
    expect(other_tab.get_by_role("heading", name="Sign in")).to_be_visible()

    stranger.get_by_role("link", name="New image").first.click()
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    scripted = steps.script_is_on(stranger)
    steps.sign_in(stranger)
    expect(stranger).to_have_url(f"{settled.server.url}/images" if scripted else f"{settled.server.url}/images/new")
