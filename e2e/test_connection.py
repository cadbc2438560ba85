"""Test connection on the form of a registry credential: the seven answers, each produced by a real registry, and a safe replacement."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled
from e2e.server import serve
from tests.real.process import free_port
from tests.real.registry import Registry, settings_for

NOWHERE = f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def settled(
    tmp_path_factory: pytest.TempPathFactory,
    browser: Browser,
    htpasswd_registry: Registry,
    token_registry: Registry,
    tls_registry: Registry,
) -> Iterator[Settled]:
    """A control plane whose operator allows the registries on this machine, and trusts no certificate but the system's."""
    folder = tmp_path_factory.mktemp("settled")
    settings = settings_for(htpasswd_registry, token_registry, tls_registry)
    del settings["WEBAPP_REGISTRY_CA_FILE"]
    settings["WEBAPP_ALLOWED_REGISTRIES"] += f", http://{NOWHERE}"
    for registry in (htpasswd_registry, token_registry):
        registry.push("acme/ubuntu", "24.04")
    token_registry.push("acme/not-for-you", "1")
    token_registry.push("hidden/there", "1")
    token_registry.refused.update({"acme/not-for-you", "hidden/*"})
    with serve(folder / "server", **settings) as running:
        context = open_context(browser, running)
        steps.set_up(context.new_page(), running)
        context.storage_state(path=folder / "alice.json")
        context.close()
        yield Settled(running, folder / "alice.json")


def answer(page: Page, host: str, image: str, username: str, password: str) -> str:
    """What the form for a new credential answers to a test with these."""
    steps.new_credential(page)
    page.get_by_label("Registry URL").fill(host)
    if username == "_json_key":
        page.get_by_label("GCP service account key", exact=True).check()
        page.get_by_label("Service account key", exact=True).fill(password)
    else:
        page.get_by_label("Username").fill(username)
        page.locator("input[name=password]").fill(password)
    page.get_by_label("Image to test with").fill(image and f"{host}/{image}")
    page.get_by_role("button", name="Test connection").click()
    result = page.locator(".test-result")
    expect(result).to_be_visible()
    assert password not in page.content()
    return result.inner_text()


def test_the_seven_answers_are_told_apart(
    alice: Page, settled: Settled, htpasswd_registry: Registry, token_registry: Registry, tls_registry: Registry
) -> None:
    basic, token, tls = htpasswd_registry, token_registry, tls_registry
    assert "This credential may pull" in answer(alice, basic.host, "acme/ubuntu:24.04", basic.username, basic.password)
    assert "Wrong user or password" in answer(alice, basic.host, "", basic.username, "not-the-password")
    assert "May not pull this repository" in answer(alice, token.host, "acme/not-for-you:1", token.username, token.password)
    assert "No such image" in answer(alice, basic.host, "acme/ubuntu:none", basic.username, basic.password)
    assert "Not reachable from here" in answer(alice, NOWHERE, "", basic.username, basic.password)
    assert "TLS" in answer(alice, tls.host, "", tls.username, tls.password)
    assert "this registry does not say which" in answer(alice, token.host, "hidden/there:1", token.username, token.password)
    alice.goto("/audit")
    expect(alice.get_by_role("row").filter(has_text="Registry credential tested").first).to_contain_text("works; 0 of 1 images work")


def test_what_was_typed_stays_through_a_test_and_is_stored_then(alice_scripted: Page, htpasswd_registry: Registry) -> None:
    page, name = alice_scripted, steps.fresh("private")
    steps.new_credential(page)
    steps.fill_credential(page, name, htpasswd_registry.host, htpasswd_registry.password)
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".test-result")).to_contain_text("takes this user name and password")
    expect(page.locator(".test-result")).to_be_focused()
    expect(page.locator("dialog[open]")).to_be_visible()
    steps.save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_a_value_that_does_not_work_for_an_image_replaces_nothing(alice: Page, settled: Settled, htpasswd_registry: Registry) -> None:
    registry, name = htpasswd_registry, steps.fresh("private")
    values = {"name": name, "registry_url": registry.host, "auth_method": "password", "username": registry.username}
    steps.given(alice, "/registry-credentials", values | {"password": registry.password})
    image = steps.given_image(alice, "image", f"{registry.host}/acme/ubuntu:24.04", name)
    steps.open_credential(alice, name)
    alice.locator("input[name=password]").fill("not-the-password")
    alice.get_by_label("Replace the value only if every image can be pulled with it").check()
    steps.save(alice)
    steps.expect_summary(alice)
    expect(alice.locator(".test-result")).to_contain_text("Wrong user or password")
    steps.open_credential(alice, name)
    alice.get_by_role("button", name="Test connection").click()
    result = alice.locator(".test-result")
    expect(result).to_contain_text("takes this user name and password")
    expect(result.get_by_role("link", name=image)).to_be_visible()
