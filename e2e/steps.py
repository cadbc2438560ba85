"""What people do in the pages, step by step; with script and without."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from e2e.server import Server

EMAIL = "alice@example.com"
PASSWORD = "correct horse battery staple"


def set_up(page: Page, server: Server) -> None:
    """Follow the one-time link, make the account, and arrive at the empty list of registry credentials."""
    page.goto(server.setup_link)
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()


def sign_in(page: Page, password: str = PASSWORD) -> None:
    """Sign in on the page that is open."""
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def new_credential(page: Page) -> None:
    """Open the form for a registry credential: a dialog with script, a page without."""
    page.goto("/registry-credentials")
    page.get_by_role("link", name="New registry credential").first.click()
    expect(page.get_by_role("heading", name="New registry credential")).to_be_visible()


def store_password(page: Page, name: str, host: str, username: str, password: str) -> None:
    """Store a username and password."""
    new_credential(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Registry URL").fill(host)
    page.get_by_label("Username").fill(username)
    page.locator("input[name=password]").fill(password)
    save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def store_key_file(page: Page, name: str, host: str, file: Path) -> None:
    """Store a service-account key by uploading its file."""
    new_credential(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Registry URL").fill(host)
    page.get_by_label("GCP service account key", exact=True).check()
    upload = page.locator("input[name=service_account_key_file]")
    expect(upload).to_be_visible()
    # htmx has put the fields in, and listens to them once the mark is gone: sooner than any hand could be.
    expect(page.locator(".htmx-added")).to_have_count(0)
    upload.set_input_files(file)
    if script_is_on(page):
        expect(page.locator(".status.good")).to_contain_text("image-puller@")
    save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def add_image(page: Page, name: str, reference: str, credential: str) -> None:
    """Add an image that uses a registry credential."""
    page.goto("/images")
    page.get_by_role("link", name="New image").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Docker Image URL").fill(reference)
    option = page.locator("#field-registry-credential-id option").filter(has_text=re.compile(rf"^{re.escape(credential)} – "))
    if script_is_on(page):
        with page.expect_response(re.compile("credential-options")):
            page.get_by_label("Docker Image URL").blur()
    page.get_by_label("Docker Registry Auth").select_option(value=option.get_attribute("value"))
    save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def make_bootstrap_token(page: Page) -> str:
    """Make a bootstrap token and read it from the page, the one time that it is shown."""
    page.goto("/agents")
    page.get_by_role("link", name="New bootstrap token").first.click()
    page.get_by_role("button", name="Create bootstrap token").click()
    token = page.get_by_role("textbox", name="Bootstrap token").input_value()
    assert token.startswith("rc_b_")
    return token


def choose_image(page: Page, agent: str, image: str) -> None:
    """Choose an agent's image on its page."""
    page.goto("/agents")
    page.get_by_role("link", name=agent, exact=True).click()
    option = page.locator("#field-image-id option").filter(has_text=re.compile(rf"^{re.escape(image)} – "))
    page.get_by_label("Image", exact=True).select_option(value=option.get_attribute("value"))
    save(page)
    expect(page.get_by_text("Agent saved.")).to_be_visible()


def save(page: Page) -> None:
    """Press the form's own button."""
    page.locator("form.form button[type=submit]").click()


def script_is_on(page: Page) -> bool:
    """Whether this page runs JavaScript; htmx marks the body's children only then."""
    return page.locator("dialog[open]").count() > 0
