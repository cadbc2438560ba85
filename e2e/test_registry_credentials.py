"""Alice stores, edits and deletes registry credentials; with JavaScript on, and off."""

import re

import httpx2
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled

NEW_SECRET = "an-entirely-different-one"


def test_a_form_with_errors_keeps_what_was_typed_but_the_server_never_says_the_secret(alice: Page) -> None:
    name = steps.fresh("kept")
    steps.new_credential(alice)
    steps.fill_credential(alice, name, host="not a host")
    with alice.expect_response("**/registry-credentials") as answered:
        steps.save(alice)
    assert answered.value.status == 422
    assert steps.SECRET.encode() not in answered.value.body()
    summary = steps.expect_summary(alice, "Registry URL:")
    scripted = steps.script_is_on(alice)
    expect(alice.get_by_label("Name", exact=True)).to_have_value(name)
    expect(alice.get_by_label("Description")).to_have_value("of the acme bot")
    expect(alice.get_by_label("Registry URL")).to_have_value("not a host")
    expect(alice.get_by_label("Username")).to_have_value("acme-bot")
    secret = alice.locator("input[name=password]")
    expect(secret).to_have_value(steps.SECRET if scripted else "")
    expect(secret).not_to_have_attribute("aria-invalid", "true")
    summary.get_by_role("link").click()
    url = alice.get_by_label("Registry URL")
    expect(url).to_be_focused()
    expect(url).to_have_attribute("aria-invalid", "true")
    expect(url).to_have_accessible_description(re.compile("The registry’s host.*space"))

    url.fill("ghcr.io")
    if not scripted:
        secret.fill(steps.SECRET)
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("ghcr.io")
    expect(alice.get_by_role("status").filter(has_text="never shown again")).to_be_visible()
    assert steps.SECRET not in alice.content()
    steps.new_credential(alice)
    expect(secret).to_have_value("")


def test_an_error_of_the_secret_itself_is_tied_to_the_kept_field(alice_scripted: Page) -> None:
    steps.new_credential(alice_scripted)
    steps.fill_credential(alice_scripted, steps.fresh("tied"), secret="")
    steps.save(alice_scripted)
    steps.expect_summary(alice_scripted, "Password or token: Enter the password or token.")
    secret = alice_scripted.locator("input[name=password]")
    expect(secret).to_have_attribute("aria-invalid", "true")
    expect(secret).to_have_accessible_description("Enter the password or token.")
    secret.fill(steps.SECRET)
    alice_scripted.get_by_label("Registry URL").fill("")
    steps.save(alice_scripted)
    steps.expect_summary(alice_scripted, "Registry URL:")
    expect(secret).to_have_value(steps.SECRET)
    expect(secret).to_have_attribute("aria-invalid", "false")
    expect(secret).to_have_accessible_description("")


def test_a_name_that_exists_is_said_beside_the_field(alice: Page) -> None:
    name = steps.given_credential(alice, "twin")
    steps.new_credential(alice)
    steps.fill_credential(alice, name.upper())
    steps.save(alice)
    steps.expect_summary(alice, "Name: Another registry credential of this account has this name.")
    expect(alice.get_by_label("Name", exact=True)).to_have_accessible_description(re.compile("has this name"))


def test_the_stored_value_stays_when_left_blank_and_is_replaced_by_a_new_one(alice: Page, settled: Settled) -> None:
    name, agent = steps.fresh("edited"), steps.fresh("agent")
    steps.store_password(alice, name, "ghcr.io", "acme-bot", steps.SECRET)
    image = steps.given_image(alice, "image", "ghcr.io/acme/ubuntu:24.04", name)
    with httpx2.Client(base_url=settled.server.url) as machine:
        machine.headers["Authorization"] = f"Bearer {steps.make_bootstrap_token(alice)}"
        machine.headers["Authorization"] = f"Bearer {machine.post('/api/v1/enroll', json={'name': agent}).json()['agent_token']}"
        steps.choose_image(alice, agent, image)

        def handed_over() -> tuple[str, str]:
            auth = machine.get("/api/v1/provision").json()["registry_auth"]
            return auth["username"], auth["password"]

        steps.open_credential(alice, name)
        expect(
            alice.get_by_text(re.compile(r"Stored · replaced \d{1,2} \w{3} \d{4}, \d\d:\d\d UTC by alice@example\.com$"))
        ).to_be_visible()
        expect(alice.locator("input[name=password]")).to_have_value("")
        assert steps.SECRET not in alice.content()
        alice.get_by_label("Username").fill("acme-robot")
        steps.save(alice)
        expect(alice.get_by_text("Registry credential saved.")).to_be_visible()
        assert handed_over() == ("acme-robot", steps.SECRET)

        steps.open_credential(alice, name)
        alice.get_by_label("Replace value").fill(NEW_SECRET)
        steps.save(alice)
        expect(alice.get_by_text("Registry credential saved, and its value replaced.")).to_be_visible()
        assert handed_over() == ("acme-robot", NEW_SECRET)


def test_another_host_or_method_needs_the_value_again(alice: Page) -> None:
    name = steps.given_credential(alice, "moved")
    steps.open_credential(alice, name)
    alice.get_by_label("Registry URL").fill("quay.io")
    steps.save(alice)
    steps.expect_summary(alice, "Changing the host needs the value entered again, since the stored one is for ghcr.io only.")
    expect(alice.get_by_label("Registry URL")).to_have_value("quay.io")
    alice.get_by_label("GCP service account key", exact=True).check()
    expect(alice.get_by_label("Service account key", exact=True)).to_be_visible()
    steps.save(alice)
    steps.expect_summary(alice, "Changing the authentication method needs a value of the new kind.")
    steps.open_credential(alice, name)
    for method in ("GCP service account key", "Password / Token"):
        alice.get_by_role("radio", name=method).check()
    expect(alice.get_by_label("Username")).to_have_value("acme-bot")
    expect(alice.get_by_text("Stored · replaced")).to_be_visible()


def test_the_second_of_two_editors_sees_what_changed_before_saving_over_it(alice: Page, settled: Settled, browser: Browser) -> None:
    name = steps.given_credential(alice, "shared")
    steps.open_credential(alice, name)
    context = open_context(browser, settled.server, storage_state=settled.state)
    other = context.new_page()
    steps.open_credential(other, name)
    other.get_by_label("Description").fill("changed by the other one")
    steps.save(other)
    expect(other.get_by_text("Registry credential saved.")).to_be_visible()
    context.close()

    alice.get_by_label("Username").fill("acme-robot")
    alice.get_by_label("Replace value").fill(NEW_SECRET)
    with alice.expect_response(re.compile("/registry-credentials/[^/]+$")) as answered:
        steps.save(alice)
    assert answered.value.status == 412
    assert NEW_SECRET.encode() not in answered.value.body()
    summary = steps.expect_summary(alice, "alice@example.com changed this while you were editing", "enter it again")
    expect(summary.get_by_role("definition").filter(has_text="changed by the other one")).to_be_visible()
    expect(alice.get_by_label("Username")).to_have_value("acme-robot")
    expect(alice.get_by_label("Replace value")).to_have_value("")
    steps.save(alice)
    expect(alice.get_by_text("Registry credential saved.")).to_be_visible()
    expect(steps.row(alice, name)).to_contain_text("acme-robot")


def test_the_row_menu_works_by_keyboard_alone(alice: Page) -> None:
    name = steps.given_credential(alice, "menu")
    alice.goto("/registry-credentials")
    link, button = alice.get_by_role("link", name=name, exact=True), alice.get_by_role("button", name=f"Actions for {name}", exact=True)
    link.focus()
    alice.keyboard.press("Tab")
    expect(button).to_be_focused()
    menu = steps.row(alice, name).locator("[popover]")
    expect(menu).to_be_hidden()
    alice.keyboard.press("Enter")
    expect(menu).to_be_visible()
    alice.keyboard.press("Tab")
    expect(menu.get_by_role("link", name="Edit", exact=True)).to_be_focused()
    alice.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()
    for key in ("Enter", "Tab", "Tab", "Enter"):
        alice.keyboard.press(key)
    expect(alice.get_by_role("heading", name="Delete registry credential")).to_be_visible()
    if steps.script_is_on(alice):
        alice.keyboard.press("Escape")
        expect(alice.locator("dialog")).to_be_hidden()
        expect(button).to_be_focused()
    else:
        alice.go_back()
        button.focus()
    for key in ("Enter", "Tab", "Enter"):
        alice.keyboard.press(key)
    expect(alice.get_by_role("heading", name=name, level=1)).to_be_visible()


def ask_to_delete(page: Page, name: str) -> None:
    page.goto("/registry-credentials")
    page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    steps.row(page, name).get_by_role("link", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete registry credential")).to_be_visible()


def test_a_credential_is_deleted_after_a_question(alice: Page) -> None:
    name = steps.given_credential(alice, "deleted")
    ask_to_delete(alice, name)
    expect(alice.get_by_text(f"Delete {name}?")).to_be_visible()
    alice.get_by_role("link", name="Cancel").click()
    expect(steps.row(alice, name)).to_be_visible()
    ask_to_delete(alice, name)
    alice.get_by_role("button", name="Delete registry credential").click()
    expect(alice.get_by_text("Registry credential deleted.")).to_be_visible()
    expect(steps.row(alice, name)).to_have_count(0)


def test_a_credential_in_use_is_not_deleted_and_the_page_leads_to_its_images(alice: Page) -> None:
    name = steps.given_credential(alice, "used")
    ask_to_delete(alice, name)
    image = steps.given_image(alice, "image", "ghcr.io/acme/ubuntu:24.04", name)
    with alice.expect_response("**/delete") as answered:
        alice.get_by_role("button", name="Delete registry credential").click()
    assert answered.value.status == 409
    steps.expect_summary(alice, f"{name} is used by 1 image, so it cannot be deleted.")
    ask_to_delete(alice, name)
    expect(alice.get_by_role("button", name="Delete registry credential")).to_have_count(0)
    alice.get_by_role("link", name=image, exact=True).click()
    expect(alice.get_by_role("heading", name=image, level=1)).to_be_visible()
    alice.goto("/registry-credentials")
    expect(steps.row(alice, name)).to_contain_text("1 image")


def test_a_double_submit_makes_one_record(alice: Page) -> None:
    name = steps.fresh("twice")
    steps.new_credential(alice)
    steps.fill_credential(alice, name)
    steps.submit(alice).dblclick()
    expect(steps.row(alice, name)).to_have_count(1)
    expect(alice.locator(".error-summary")).to_have_count(0)
    alice.goto(f"/registry-credentials?q={name}")
    expect(alice.locator("#credentials-rows tbody tr")).to_have_count(1)


def test_the_form_as_a_page_of_its_own_leads_to_the_list(alice: Page) -> None:
    name = steps.fresh("page")
    alice.goto("/registry-credentials/new")
    steps.fill_credential(alice, name)
    steps.save(alice)
    expect(steps.row(alice, name)).to_be_visible()


def test_a_registry_url_is_trimmed_to_its_host_and_the_page_says_so(alice: Page) -> None:
    name = steps.fresh("trimmed")
    steps.new_credential(alice)
    steps.fill_credential(alice, name, host="https://GHCR.io/v2/acme/")
    steps.save(alice)
    expect(steps.row(alice, name).get_by_role("code")).to_have_text("ghcr.io")
    scripted = steps.script_is_on(alice)
    said = "Taken off: the scheme https:// and the path /v2/acme/." if scripted else "Of the Registry URL only the host is kept."
    expect(alice.get_by_role("status").filter(has_text=said)).to_be_visible()
