"""Alice stores a registry credential, and makes what is shown once, with the keyboard alone; with JavaScript on, and off."""

import re

from playwright.sync_api import Page, expect

from e2e import steps

MOST_STEPS = 40


def tab_to(page: Page, what: str) -> None:
    """Press Tab until the control with this name has the focus."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate(_FOCUSED_NAME) == what:
            return
    raise AssertionError(f"Tab does not lead to {what}")


_FOCUSED_NAME = """() => {
  const focused = document.activeElement;
  return (focused.labels?.[0] || focused).innerText.trim();
}"""


def test_a_credential_is_stored_with_the_keyboard_alone(alice: Page) -> None:
    name = steps.fresh("typed")
    alice.goto("/registry-credentials")
    alice.keyboard.press("Tab")
    expect(alice.get_by_role("link", name="Skip to the content")).to_be_focused()
    alice.keyboard.press("Enter")
    tab_to(alice, "New registry credential")
    alice.keyboard.press("Enter")
    expect(alice.get_by_label("Name", exact=True)).to_be_focused()
    alice.keyboard.type(name)
    tab_to(alice, "Description")
    alice.keyboard.type("of the acme bot")
    tab_to(alice, "Registry URL")
    alice.keyboard.type("ghcr.io")
    tab_to(alice, "Password / Token")
    alice.keyboard.press("ArrowDown")
    key = alice.get_by_label("Service account key", exact=True)
    expect(key).to_be_visible()
    expect(alice.get_by_role("radio", name="GCP service account key")).to_be_focused()
    alice.keyboard.press("ArrowUp")
    expect(alice.get_by_role("radio", name="Password / Token")).to_be_focused()
    expect(key).to_be_hidden()
    expect(alice.get_by_label("Username")).to_be_visible()
    tab_to(alice, "Username")
    alice.keyboard.type("acme-bot")
    tab_to(alice, "Password or token")
    alice.keyboard.type("hunter2-but-much-longer")
    tab_to(alice, "Store credential")
    alice.keyboard.press("Enter")
    expect(steps.row(alice, name)).to_contain_text("acme-bot")
    expect(alice.locator("dialog")).to_be_hidden()


def test_errors_lead_from_the_summary_to_the_field_by_keyboard(alice: Page) -> None:
    steps.new_credential(alice)
    alice.get_by_label("Name", exact=True).press("Enter")
    steps.expect_summary(alice, "Registry URL:")
    tab_to(alice, "Registry URL: Enter the registry's host, such as ghcr.io.")
    alice.keyboard.press("Enter")
    expect(alice.get_by_label("Registry URL")).to_be_focused()


def test_what_is_shown_once_has_the_focus_and_stands_in_the_list_behind(alice: Page) -> None:
    email, token = f"{steps.fresh('hal')}@example.com", steps.fresh("typed")
    for address, opens, text, sends, shown in (
        (steps.MEMBERS, "Invite member", email, "Make the link", "Invitation"),
        ("/settings/api-tokens", "New API token", token, "Create API token", "API token"),
    ):
        alice.goto(address)
        alice.get_by_role("link", name=opens).first.press("Enter")
        expect(alice.get_by_role("heading", name=opens)).to_be_visible()
        alice.keyboard.type(text)
        tab_to(alice, sends)
        alice.keyboard.press("Enter")
        expect(alice.get_by_role("heading", name=shown, exact=True)).to_be_focused()
        if steps.script_is_on(alice):
            alice.keyboard.press("Escape")
            expect(alice.locator("dialog")).to_be_hidden()
            # The list was read anew meanwhile; its links open the dialog as before.
            alice.get_by_role("button", name=re.compile(f"Actions for .*{re.escape(text)}")).press("Enter")
            alice.get_by_role("row").filter(has_text=text).get_by_role("link", name="Revoke").press("Enter")
            expect(alice.locator("dialog").get_by_role("heading", name=re.compile("^Revoke"))).to_be_focused()
