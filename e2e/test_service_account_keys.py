"""Alice stores a GCP service account key: uploaded as a file or pasted, and never shown again; with JavaScript on, and off."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from e2e import steps
from tests.real.service_account import service_account_key


@pytest.fixture(scope="module")
def key() -> bytes:
    return service_account_key()


def open_key_fields(page: Page, name: str) -> None:
    steps.new_credential(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Registry URL").fill("us-docker.pkg.dev")
    page.get_by_label("GCP service account key", exact=True).check()
    expect(page.locator("input[name=service_account_key_file]")).to_be_visible()
    expect(page.locator(".htmx-added")).to_have_count(0)


def test_a_key_file_is_looked_at_when_it_is_chosen_and_never_shown(alice_scripted: Page, key: bytes, tmp_path: Path) -> None:
    good, bad, name = tmp_path / "key.json", tmp_path / "notes.txt", steps.fresh("gcp")
    good.write_bytes(key)
    bad.write_text("not a key")
    line = key.decode().split("\\n")[3]
    heard: list[Response] = []
    alice_scripted.on("response", lambda response: heard.append(response) if response.request.method == "POST" else None)
    open_key_fields(alice_scripted, name)
    upload, status = alice_scripted.locator("input[name=service_account_key_file]"), alice_scripted.locator(".upload-status")
    upload.set_input_files(bad)
    expect(status.locator(".bad")).to_contain_text("not JSON")
    upload.set_input_files(good)
    expect(status.locator(".good")).to_have_text(
        re.compile("Key of image-puller@acme-images.iam.gserviceaccount.com in project acme-images.")
    )
    expect(status.locator(".bad")).to_have_count(0)
    expect(alice_scripted.get_by_label("Service account key", exact=True)).to_have_value("")
    alice_scripted.get_by_label("Registry URL").fill("")
    steps.save(alice_scripted)
    steps.expect_summary(alice_scripted, "Registry URL:")
    alice_scripted.get_by_label("Registry URL").fill("us-docker.pkg.dev")
    steps.save(alice_scripted)
    expect(steps.row(alice_scripted, name)).to_contain_text("_json_key")
    assert len(heard) == 4
    assert not any(line.encode() in response.body() for response in heard)
    assert line not in alice_scripted.content()


def test_a_file_that_is_no_key_is_refused_when_it_is_saved(alice: Page, key: bytes, tmp_path: Path) -> None:
    bad, name = tmp_path / "notes.txt", steps.fresh("gcp")
    bad.write_text("not a key")
    open_key_fields(alice, name)
    upload = alice.locator("input[name=service_account_key_file]")
    upload.set_input_files(bad)
    steps.save(alice)
    steps.expect_summary(alice, "Service account key:", "not JSON")
    expect(upload).to_have_accessible_description(re.compile("not JSON"))
    (tmp_path / "key.json").write_bytes(key)
    upload.set_input_files(tmp_path / "key.json")
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("_json_key")


def test_a_pasted_key_beside_a_file_is_refused_and_one_alone_is_stored(alice: Page, key: bytes, tmp_path: Path) -> None:
    name = steps.fresh("gcp")
    (tmp_path / "key.json").write_bytes(key)
    open_key_fields(alice, name)
    editor = alice.get_by_label("Service account key", exact=True)
    editor.fill(key.decode())
    alice.locator("input[name=service_account_key_file]").set_input_files(tmp_path / "key.json")
    with alice.expect_response("**/registry-credentials") as answered:
        steps.save(alice)
    assert b"PRIVATE KEY" not in answered.value.body()
    steps.expect_summary(alice, "and an uploaded file")
    editor.fill(key.decode())
    alice.locator("input[name=service_account_key_file]").set_input_files([])
    steps.save(alice)
    expect(steps.row(alice, name)).to_contain_text("_json_key")
