"""Alice keeps the image catalog, and chooses the registry credential that each image needs; with JavaScript on, and off."""

import re

from playwright.sync_api import Locator, Page, expect

from e2e import steps


def open_new(page: Page) -> None:
    page.goto("/images")
    page.get_by_role("link", name="New image").first.click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()


def type_reference(page: Page, reference: str) -> None:
    field = page.get_by_label("Docker Image URL")
    field.fill(reference)
    if steps.script_is_on(page):
        with page.expect_response(re.compile("/images/credential-options")):
            field.blur()


def choose(page: Page, credential: str) -> None:
    page.get_by_label("Docker Registry Auth").select_option(value=option(page, credential).get_attribute("value"))


def option(page: Page, credential: str) -> Locator:
    return page.locator("#field-registry-credential-id option").filter(has_text=re.compile(rf"^{re.escape(credential)} – "))


def matching(page: Page) -> Locator:
    """The credentials that stand first, under a heading of their own."""
    return page.locator('optgroup[label="For this image’s registry"] option')


def test_the_credentials_of_the_images_own_registry_come_first(alice: Page) -> None:
    hub, ghcr = steps.given_credential(alice, "a-hub", "registry-1.docker.io"), steps.given_credential(alice, "z-ghcr")
    image = steps.fresh("ubuntu")
    open_new(alice)
    expect(matching(alice)).to_have_count(0)
    alice.get_by_label("Description").fill("For the racks")
    type_reference(alice, "ghcr.io/acme/ubuntu:24.04")
    steps.save(alice)
    steps.expect_summary(alice, "Name:")
    expect(alice.locator("#field-registry-credential-id optgroup").first).to_have_attribute("label", "For this image’s registry")
    expect(matching(alice).filter(has_text=f"{ghcr} – ghcr.io")).to_have_count(1)
    expect(matching(alice).filter(has_text=hub)).to_have_count(0)
    expect(alice.get_by_label("Description")).to_have_value("For the racks")
    choose(alice, ghcr)
    alice.get_by_label("Name", exact=True).fill(image)
    steps.save(alice)
    expect(alice.get_by_text("Image created.")).to_be_visible()
    expect(steps.row(alice, image)).to_contain_text("ghcr.io/acme/ubuntu:24.04")
    steps.row(alice, image).get_by_role("link", name=ghcr).click()
    expect(alice.get_by_role("heading", name=ghcr, level=1)).to_be_visible()
    expect(alice.get_by_role("link", name=image, exact=True)).to_be_visible()


def test_the_choice_follows_the_reference_while_it_is_typed(alice_scripted: Page) -> None:
    hub, ghcr = steps.given_credential(alice_scripted, "hub", "docker.io"), steps.given_credential(alice_scripted, "ghcr")
    open_new(alice_scripted)
    type_reference(alice_scripted, "ghcr.io/acme/ubuntu")
    choose(alice_scripted, ghcr)
    expect(matching(alice_scripted).filter(has_text=f"{hub} – docker.io")).to_have_count(0)
    type_reference(alice_scripted, "acme/ubuntu")
    expect(matching(alice_scripted).filter(has_text=f"{hub} – docker.io")).to_have_count(1)
    expect(alice_scripted.get_by_label("Docker Registry Auth").locator("option:checked")).to_have_text(f"{ghcr} – ghcr.io – never used")


def test_a_credential_of_another_host_is_refused_with_both_hosts_named(alice: Page) -> None:
    hub, image = steps.given_credential(alice, "hub", "registry-1.docker.io"), steps.fresh("debian")
    open_new(alice)
    alice.get_by_label("Name", exact=True).fill(image)
    type_reference(alice, "ghcr.io/acme/debian:12")
    choose(alice, hub)
    steps.save(alice)
    steps.expect_summary(alice, "Docker Registry Auth:", "registry-1.docker.io", "ghcr.io")
    choice = alice.get_by_label("Docker Registry Auth")
    expect(choice).to_have_accessible_description(re.compile(r"registry-1\.docker\.io.*ghcr\.io|ghcr\.io.*registry-1\.docker\.io"))
    expect(choice.locator("option:checked")).to_have_text(f"{hub} – registry-1.docker.io – never used")
    expect(alice.get_by_label("Name", exact=True)).to_have_value(image)
    type_reference(alice, "acme/debian:12")
    steps.save(alice)
    expect(alice.get_by_text("Image created.")).to_be_visible()
    alice.get_by_role("link", name=image, exact=True).click()
    expect(alice.get_by_text("docker.io/acme/debian:12", exact=True)).to_be_visible()


def test_official_images_have_a_badge_and_a_filter_and_are_read_only(alice: Page) -> None:
    custom = steps.given_image(alice, "custom", "quay.io/acme/custom:1")
    alice.goto("/images")
    expect(steps.row(alice, custom)).not_to_contain_text("Official")
    expect(steps.row(alice, "Debian 12")).to_contain_text("Official")
    expect(steps.row(alice, "Debian 12").get_by_role("button")).to_have_count(0)
    shown = alice.get_by_role("navigation", name="Show")
    shown.get_by_role("link", name="Official").click()
    expect(shown.get_by_role("link", name="Official")).to_have_attribute("aria-current", "true")
    expect(steps.row(alice, "Debian 12")).to_be_visible()
    expect(steps.row(alice, custom)).to_have_count(0)
    shown.get_by_role("link", name="Custom").click()
    expect(steps.row(alice, custom)).to_be_visible()
    expect(steps.row(alice, "Debian 12")).to_have_count(0)
    shown.get_by_role("link", name="All").click()
    alice.get_by_role("link", name="Debian 12").click()
    expect(alice.get_by_text("Official images are read-only.")).to_be_visible()
    expect(alice.locator("main form:not(#images-check-form)")).to_have_count(0)


def test_an_image_is_edited_and_deleted_unless_it_is_the_default(alice: Page) -> None:
    name, renamed = steps.given_image(alice, "image", "quay.io/acme/ubuntu:1"), steps.fresh("renamed")
    alice.goto("/images")
    alice.get_by_role("link", name=name, exact=True).click()
    alice.get_by_label("Name", exact=True).fill(renamed)
    steps.save(alice)
    expect(alice.get_by_text("Image saved.")).to_be_visible()
    choose_default(alice, f"{renamed} – quay.io/acme/ubuntu:1")
    ask_to_delete(alice, renamed)
    steps.expect_summary(alice, "is in use, so it cannot be deleted")
    alice.get_by_role("link", name="The account’s default image, in Settings").click()
    choose_default(alice, "None")
    ask_to_delete(alice, renamed)
    alice.get_by_role("button", name="Delete image").click()
    expect(alice.get_by_text("Image deleted.")).to_be_visible()
    expect(steps.row(alice, renamed)).to_have_count(0)


def choose_default(page: Page, label: str) -> None:
    page.goto("/settings")
    page.get_by_label("Default image").select_option(label=label)
    steps.save(page)
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    expect(page.get_by_label("Default image").locator("option:checked")).to_have_text(label)


def ask_to_delete(page: Page, name: str) -> None:
    page.goto("/images")
    page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    steps.row(page, name).get_by_role("link", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete image")).to_be_visible()
