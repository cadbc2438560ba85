"""Alice replaces a value, sees that it was the wrong one, and goes back to the one before; with JavaScript on, and off."""

from playwright.sync_api import Page, expect

from e2e import steps

WRONG = "pasted-by-mistake"


def replaced(page: Page, word: str) -> str:
    """A credential whose value was replaced, on its page. Its name."""
    name = steps.given_credential(page, word)
    steps.open_credential(page, name)
    page.locator("input[name=password]").fill(WRONG)
    expect(page.get_by_label("Previous value")).to_have_value("1h")
    steps.save(page)
    expect(page.get_by_text("Registry credential saved, and its value replaced.")).to_be_visible()
    steps.open_credential(page, name)
    return name


def test_a_value_that_was_replaced_is_rolled_back_to_with_one_click(alice: Page) -> None:
    replaced(alice, "rolled-back")
    version = alice.get_by_role("row").filter(has_text="Version 1")
    expect(version).to_contain_text("ghcr.io as acme-bot")
    alice.get_by_role("button", name="Roll back to version 1").click()
    expect(alice.get_by_text("Rolled back. The value that was replaced is kept for an hour.")).to_be_visible()
    expect(alice.get_by_role("row").filter(has_text="Version 2")).to_be_visible()
    expect(version).to_have_count(0)
    assert WRONG not in alice.content()
    assert steps.SECRET not in alice.content()
    alice.goto("/audit")
    expect(alice.get_by_role("row").filter(has_text="Registry credential rolled back").first).to_be_visible()


def test_an_old_value_is_destroyed_after_a_question(alice: Page) -> None:
    name = replaced(alice, "destroyed")
    alice.get_by_role("link", name="Destroy", exact=True).click()
    expect(alice.get_by_text(f"Destroy version 1 of {name}?")).to_be_visible()
    alice.get_by_role("link", name="Cancel").last.click()
    expect(alice.get_by_role("row").filter(has_text="Version 1")).to_be_visible()
    alice.get_by_role("link", name="Destroy", exact=True).click()
    alice.get_by_role("button", name="Destroy previous value").click()
    expect(alice.get_by_text("The old value is destroyed.")).to_be_visible()
    expect(alice.get_by_role("heading", name="Previous values")).to_have_count(0)


def test_it_is_done_by_keyboard_alone(alice: Page) -> None:
    replaced(alice, "by-keyboard")
    alice.locator("#field-keep-previous").focus()
    for _ in range(12):
        alice.keyboard.press("Tab")
        if alice.evaluate("document.activeElement.textContent.trim()") == "Roll back":
            break
    alice.keyboard.press("Enter")
    expect(alice.get_by_text("Rolled back.")).to_be_visible()


def test_settings_lead_to_the_keys(alice: Page) -> None:
    alice.goto("/settings")
    alice.get_by_role("link", name="Encryption").click()
    expect(alice.get_by_role("heading", name="Encryption", level=1)).to_be_visible()
    expect(alice.get_by_role("row").filter(has_text="Key 1")).to_contain_text("Seals now")
    expect(alice.get_by_text("A rotation is suggested on")).to_be_visible()
