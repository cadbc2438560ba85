"""The dialog in which alice stores a registry credential: opening, closing, and what must not outlive it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from e2e import steps

HEADING = "New registry credential"


CLOSINGS: dict[str, Callable[[Page], None]] = {
    "escape": lambda page: page.keyboard.press("Escape"),
    "cancel": lambda page: page.get_by_role("link", name="Cancel").click(),
    "cross": lambda page: page.get_by_role("button", name="Close").click(),
    "backdrop": lambda page: page.mouse.click(5, 5),
}


@pytest.mark.parametrize("closing", CLOSINGS)
def test_closing_the_dialog_gives_the_focus_back_and_empties_the_secret(alice_scripted: Page, closing: str) -> None:
    alice_scripted.goto("/registry-credentials")
    link = alice_scripted.get_by_role("link", name=HEADING).first
    link.click()
    dialog = alice_scripted.get_by_role("dialog", name=HEADING)
    expect(dialog).to_be_visible()
    assert dialog.evaluate("dialog => dialog.matches(':modal')"), "the rest of the page is out of reach"
    expect(alice_scripted.get_by_label("Name", exact=True)).to_be_focused()
    alice_scripted.locator("input[name=password]").fill(steps.SECRET)
    steps.save(alice_scripted)
    steps.expect_summary(alice_scripted)
    expect(alice_scripted.locator("input[name=password]")).to_have_value(steps.SECRET)

    CLOSINGS[closing](alice_scripted)
    expect(alice_scripted.locator("dialog")).to_be_hidden()
    expect(link).to_be_focused()
    expect(alice_scripted.locator("input[name=password]")).to_have_count(0)
    link.press("Enter")
    expect(alice_scripted.get_by_label("Name", exact=True)).to_be_focused()
    expect(alice_scripted.locator("input[name=password]")).to_have_value("")
    steps.save(alice_scripted)
    steps.expect_summary(alice_scripted, "Enter the password or token.")


def test_a_press_that_began_inside_the_dialog_does_not_close_it(alice_scripted: Page) -> None:
    steps.new_credential(alice_scripted)
    alice_scripted.get_by_label("Name", exact=True).hover()
    alice_scripted.mouse.down()
    alice_scripted.mouse.move(5, 5)
    alice_scripted.mouse.up()
    expect(alice_scripted.get_by_role("dialog", name=HEADING)).to_be_visible()


def test_an_answer_that_comes_after_the_dialog_was_closed_does_not_open_it_again(alice_scripted: Page) -> None:
    steps.new_credential(alice_scripted)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    alice_scripted.route("**/registry-credentials", hold)
    alice_scripted.locator("input[name=password]").fill(steps.SECRET)
    with alice_scripted.expect_request("**/registry-credentials"):
        steps.save(alice_scripted)
    alice_scripted.keyboard.press("Escape")
    expect(alice_scripted.locator("#credentials-form")).to_have_count(0)
    with alice_scripted.expect_response("**/registry-credentials") as answered:
        held[0].continue_()
    assert answered.value.status == 422
    expect(alice_scripted.locator(".htmx-request")).to_have_count(0)
    expect(alice_scripted.locator("dialog")).to_be_hidden()
    expect(alice_scripted.locator("#credentials-form")).to_have_count(0)


def test_a_page_that_settles_while_the_dialog_closes_does_not_open_it_again(alice_scripted: Page) -> None:
    """The dialog's own `close` event comes later than the list that a stored credential is shown in."""
    steps.new_credential(alice_scripted)
    expect(alice_scripted.locator("dialog[open]")).to_be_visible()
    alice_scripted.evaluate(
        "for (const name of ['closeDialog', 'htmx:afterSettle']) document.body.dispatchEvent(new CustomEvent(name, {bubbles: true}))"
    )
    expect(alice_scripted.locator("#dialog form")).to_have_count(0)
    expect(alice_scripted.locator("dialog[open]")).to_have_count(0)
    steps.new_credential(alice_scripted)
    expect(alice_scripted.locator("dialog[open]")).to_be_visible()


def test_the_method_decides_which_fields_there_are(alice: Page) -> None:
    steps.new_credential(alice)
    username, editor = alice.get_by_label("Username"), alice.get_by_label("Service account key", exact=True)
    expect(username).to_be_visible()
    expect(editor).to_be_hidden()
    alice.get_by_label("GCP service account key", exact=True).check()
    expect(editor).to_be_visible()
    expect(alice.locator("input[name=service_account_key_file]")).to_be_visible()
    expect(alice.get_by_label("The key itself, as _json_key")).to_be_checked()
    expect(username).to_be_hidden()
    alice.get_by_label("Amazon ECR", exact=True).check()
    expect(alice.get_by_label("Access key id")).to_be_visible()
    expect(alice.get_by_label("Expires on")).to_be_hidden()
    expect(editor).to_be_hidden()
    alice.get_by_label("Password / Token").check()
    expect(username).to_be_visible()
    expect(editor).to_be_hidden()
