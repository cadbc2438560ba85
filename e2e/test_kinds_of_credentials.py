"""Alice stores what does not die overnight: Amazon ECR, a Google key that stays here, and values whose end is known; script on and off."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, Request, expect

from e2e import steps
from tests.real.service_account import service_account_key
from tests.real.tokens import ecr_token

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def in_days(days: int) -> str:
    """The date so many days from now, as a date field takes it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def fill(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)


def choose_preset(page: Page, label: str) -> None:
    """Choose a kind of registry: with script the form follows at once, without by its button."""
    page.get_by_label("Kind of registry").focus()
    page.get_by_label("Kind of registry").select_option(label=label)
    if not steps.script_is_on(page):
        page.get_by_role("button", name="Use", exact=True).click()
    expect(page.locator("#field-preset-hint")).to_contain_text("Make ")


def test_an_ecr_credential_is_stored_and_its_role_changes_only_with_the_key(alice: Page) -> None:
    name = steps.fresh("ecr")
    steps.new_credential(alice)
    alice.get_by_label("Amazon ECR", exact=True).check()
    fill(alice, Name=name, Registry_URL=HOST, Access_key_id=KEY_ID, Secret_access_key=SECRET_KEY)
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("Amazon ECR")
    expect(steps.row(alice, name)).to_contain_text("never used")
    steps.open_credential(alice, name)
    expect(alice.get_by_label("Region")).to_have_value("eu-central-1")
    expect(alice.locator("#field-secret-access-key")).to_have_value("")
    fill(alice, Role_ARN="arn:aws:iam::123456789012:role/pull-images")
    steps.save(alice)
    steps.expect_summary(alice, "needs the value entered again")
    alice.locator("#field-secret-access-key").fill(SECRET_KEY)
    steps.save(alice)
    expect(alice.get_by_text("and its value replaced")).to_be_visible()
    assert SECRET_KEY not in alice.content()


def test_an_access_key_as_user_name_is_refused_and_one_press_chooses_the_method(alice: Page) -> None:
    name = steps.fresh("key")
    steps.new_credential(alice)
    steps.fill_credential(alice, name, HOST, SECRET_KEY)
    alice.get_by_label("Username").fill(KEY_ID)
    steps.save(alice)
    steps.expect_summary(alice, "no registry takes one as a user name")
    alice.get_by_label("Username").focus()
    alice.keyboard.press("Tab")
    expect(alice.get_by_role("button", name="Use Amazon ECR instead")).to_be_focused()
    alice.keyboard.press("Enter")
    expect(alice.get_by_label("Amazon ECR", exact=True)).to_be_checked()
    expect(alice.get_by_label("Access key id")).to_have_value(KEY_ID)
    expect(alice.get_by_label("Description")).to_have_value("of the acme bot")
    expect(alice.locator("#field-secret-access-key")).to_be_focused()
    alice.keyboard.type(SECRET_KEY)
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("Amazon ECR")


def test_beside_the_offer_enter_still_saves(alice: Page) -> None:
    name = steps.fresh("token")
    steps.new_credential(alice)
    steps.fill_credential(alice, name, HOST)
    alice.get_by_label("Username").fill("AWS")
    token = ecr_token(int((datetime.now(UTC) + timedelta(hours=11, minutes=30)).timestamp() * 1000))
    alice.locator("input[name=password]").fill(token)
    steps.save(alice)
    steps.expect_summary(alice, "dies 12 hours after it was made")
    alice.get_by_label("Store this token anyway").check()
    if not steps.script_is_on(alice):
        alice.locator("input[name=password]").fill(token)
    alice.get_by_label("Username").press("Enter")
    expect(steps.row(alice, name)).to_contain_text("Password / Token")
    expect(steps.row(alice, name)).to_contain_text("expires in 11 h")
    expect(alice.get_by_text(re.compile("read from the value", re.IGNORECASE))).to_be_visible()


def test_a_google_key_stays_here_when_its_tokens_are_handed_over(alice: Page, tmp_path: Path) -> None:
    name = steps.fresh("gcp")
    (tmp_path / "key.json").write_bytes(service_account_key())
    steps.new_credential(alice)
    choose_preset(alice, "Google Artifact Registry")
    fill(alice, Name=name, Registry_URL="europe-docker.pkg.dev")
    alice.get_by_label("A short-lived access token").check()
    alice.locator("input[name=service_account_key_file]").set_input_files(tmp_path / "key.json")
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("oauth2accesstoken")
    steps.open_credential(alice, name)
    expect(alice.get_by_label("A short-lived access token")).to_be_checked()


def test_a_preset_fills_the_host_in_and_its_end_is_shown_in_list_and_picker(alice: Page) -> None:
    name = steps.fresh("quay")
    steps.new_credential(alice)
    choose_preset(alice, "Quay")
    expect(alice.get_by_label("Registry URL")).to_have_value("quay.io")
    fill(alice, Name=name, Username="acme+puller", Expires_on=in_days(9))
    alice.locator("input[name=password]").fill(steps.SECRET)
    steps.save(alice)
    expect(steps.row(alice, name).locator(".badge.warn")).to_have_text(re.compile(r"expires in (9|10) d"))
    alice.get_by_role("link", name="Expiring first").click()
    expect(steps.row(alice, name)).to_be_visible()
    alice.goto("/images/new")
    option = alice.locator("#field-registry-credential-id option").filter(has_text=name)
    expect(option).to_have_text(re.compile(rf"^{name} – quay.io – expires in (9|10) d – never used$"))


def test_a_preset_keeps_what_was_typed_and_sends_no_secret(alice_scripted: Page) -> None:
    sent: list[Request] = []

    def hear(request: Request) -> None:
        sent.append(request)

    alice_scripted.on("request", hear)
    steps.new_credential(alice_scripted)
    steps.fill_credential(alice_scripted, "mine", "", steps.SECRET)
    choose_preset(alice_scripted, "GitHub Container Registry (GHCR)")
    expect(alice_scripted.get_by_label("Registry URL")).to_have_value("ghcr.io")
    choose_preset(alice_scripted, "Quay")
    expect(alice_scripted.get_by_label("Registry URL")).to_have_value("quay.io")
    expect(alice_scripted.get_by_label("Kind of registry")).to_be_focused()
    expect(alice_scripted.get_by_label("Name", exact=True)).to_have_value("mine")
    expect(alice_scripted.get_by_label("Username")).to_have_value("acme-bot")
    expect(alice_scripted.locator("input[name=password]")).to_have_value(steps.SECRET)
    choose_preset(alice_scripted, "Amazon ECR")
    expect(alice_scripted.get_by_label("Access key id")).to_be_visible()
    expect(alice_scripted.get_by_label("Registry URL")).to_have_value("")
    assert [request.url for request in sent if steps.SECRET in request.url + (request.post_data or "")] == []
    alice_scripted.keyboard.press("Escape")
    expect(alice_scripted.locator("dialog")).to_be_hidden()
    steps.new_credential(alice_scripted)
    expect(alice_scripted.locator("input[name=password]")).to_have_value("")
