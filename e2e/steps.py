"""What people do in the pages, step by step; with script and without."""

import itertools
import json
import re
import subprocess
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from e2e.server import Served
from tests import system

EMAIL = "alice@example.com"
PASSWORD = "correct horse battery staple"
SECRET = "hunter2-but-much-longer"
"""The value of registry credentials whose value is not the point."""

_numbers = itertools.count(1)


def fresh(word: str) -> str:
    """A name that no other journey on the same server uses."""
    return f"{word}-{next(_numbers)}"


def set_up(page: Page, server: Served, organization: str = "") -> None:
    """Follow the one-time link, make the account, and arrive at the empty list of registry credentials."""
    page.goto(server.setup_link)
    if organization:
        page.get_by_label("Organization name").fill(organization)
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


def store_password(page: Page, name: str, host: str, username: str, password: str, description: str = "") -> None:
    """Store a username and password."""
    new_credential(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Description").fill(description)
    page.get_by_label("Registry URL").fill(host)
    page.get_by_label("Username").fill(username)
    page.locator("input[name=password]").fill(password)
    save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def fill_credential(page: Page, name: str, host: str = "ghcr.io", secret: str = SECRET) -> None:
    """Fill the form for a username and password in, and do not save it yet."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Description").fill("of the acme bot")
    page.get_by_label("Registry URL").fill(host)
    page.get_by_label("Username").fill("acme-bot")
    page.locator("input[name=password]").fill(secret)


def open_credential(page: Page, name: str) -> None:
    """Open a registry credential's own page from the list."""
    page.goto("/registry-credentials")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def given_credential(page: Page, word: str, host: str = "ghcr.io") -> str:
    """A fresh registry credential that is stored already, for a journey that is about something else. Its name."""
    name = fresh(word)
    values = {"name": name, "registry_url": host, "auth_method": "password", "username": "acme-bot", "password": SECRET}
    given(page, "/registry-credentials", values)
    return name


def given_image(page: Page, word: str, reference: str, credential: str = "") -> str:
    """A fresh image that is in the catalog already, with the credential of this name or none. Its name."""
    name, credential_id = fresh(word), ""
    if credential:
        listed = page.request.get("/registry-credentials", params={"q": credential}).text()
        found = re.search(rf'href="/registry-credentials/(\w+)">{re.escape(credential)}</a>', listed)
        assert found is not None
        credential_id = found[1]
    given(page, "/images", {"name": name, "docker_image_url": reference, "registry_credential_id": credential_id})
    return name


def given(page: Page, address: str, values: dict[str, str]) -> None:
    """Send a form as alice's browser does, past the page."""
    form: dict[str, str | float | bool] = {**values}
    answer = page.request.post(address, form=form, headers={"Sec-Fetch-Site": "same-origin"}, max_redirects=0)
    assert answer.status == 303, answer.text()


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


def make_api_token(page: Page, name: str, role: str) -> str:
    """Make an API token and read it from the page, the one time that it is shown."""
    page.goto("/settings/api-tokens")
    page.get_by_role("link", name="New API token").first.click()
    expect(page.get_by_role("heading", name="New API token")).to_be_visible()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Role", exact=True).select_option(role)
    save(page)
    token = page.get_by_role("textbox", name="API token").input_value()
    assert token.startswith("rc_p_")
    return token


def enroll(server: Served, token: str, name: str, state: Path) -> None:
    """Enrol an agent with the command line, as on its machine."""
    done = ask_to_enroll(server, token, name, state)
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr


def ask_to_enroll(server: Served, token: str, name: str, state: Path) -> subprocess.CompletedProcess[str]:
    """The same, whatever becomes of it."""
    return server.run("agent", "enroll", "--server", server.url, "--name", name, "--state", str(state), text=token + "\n")


def choose_image(page: Page, agent: str, image: str) -> None:
    """Choose an agent's image on its page."""
    page.goto("/agents")
    page.get_by_role("link", name=agent, exact=True).click()
    option = page.locator("#field-image-id option").filter(has_text=re.compile(rf"^{re.escape(image)} – "))
    page.get_by_label("Image", exact=True).select_option(value=option.get_attribute("value"))
    save(page)
    expect(page.get_by_text("Agent saved.")).to_be_visible()


def expect_summary(page: Page, *sentences: str) -> Locator:
    """Wait for the form to come back with its error summary first, focused, and with these sentences in it."""
    summary = page.locator(".error-summary")
    expect(summary).to_be_focused()
    for sentence in sentences:
        expect(summary).to_contain_text(sentence)
    return summary


def row(page: Page, name: str) -> Locator:
    """The row of a list whose first cell is this link."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def submit(page: Page) -> Locator:
    """The form's own button; not one of those that try something out."""
    return page.locator("form.form button[type=submit]:not([name])")


def save(page: Page) -> None:
    """Press the form's own button."""
    submit(page).click()


def script_is_on(page: Page) -> bool:
    """Whether this page runs JavaScript; app.js marks the page then."""
    return page.locator("html.script").count() > 0


def enrolled_for(page: Page, server: Served, credential: str, reference: str, state: Path) -> str:
    """An agent that is to pull this image with this credential: alice adds the image, and chooses it for the agent. Its name."""
    image, agent = fresh("image"), fresh("rack1-node")
    add_image(page, image, reference, credential)
    enroll(server, make_bootstrap_token(page), agent, state)
    choose_image(page, agent, image)
    return agent


def pulled(server: Served, state: Path, to: Path) -> tuple[int, str]:
    """What became of the agent's pull: its exit status, and its words."""
    system.skopeo()
    done = server.run("agent", "pull", "--state", str(state), "--to", str(to))
    return done.returncode, done.stdout + done.stderr


def manifest(layout: Path) -> str:
    """The digest of the manifest that was pulled into this OCI layout."""
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return digest
