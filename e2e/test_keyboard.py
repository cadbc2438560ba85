"""Alice stores a registry credential with the keyboard alone; with JavaScript on, and off."""

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
