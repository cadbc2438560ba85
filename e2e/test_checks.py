"""Alice and an agent have an image checked at its registry before it matters, and a credential is replaced in one step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled
from e2e.server import serve
from tests.real.registry import Registry


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, browser: Browser, htpasswd_registry: Registry) -> Iterator[Settled]:
    """A control plane whose operator allows the registry on this machine."""
    folder = tmp_path_factory.mktemp("settled")
    with serve(folder / "server", WEBAPP_ALLOWED_REGISTRIES=f"http://{htpasswd_registry.host}") as running:
        context = open_context(browser, running)
        steps.set_up(context.new_page(), running)
        context.storage_state(path=folder / "alice.json")
        context.close()
        yield Settled(running, folder / "alice.json")


@pytest.fixture(scope="module")
def digest(htpasswd_registry: Registry) -> str:
    return htpasswd_registry.push("acme/ubuntu", "24.04")


def given_credential(page: Page, word: str, registry: Registry, password: str) -> str:
    name = steps.fresh(word)
    values = {"name": name, "registry_url": registry.host, "auth_method": "password", "username": registry.username, "password": password}
    steps.given(page, "/registry-credentials", values)
    return name


def open_image(page: Page, name: str) -> None:
    page.goto("/images")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def test_a_check_finds_the_wrong_password_before_an_agent_does_and_the_digest_is_pinned(
    alice: Page, settled: Settled, htpasswd_registry: Registry, digest: str, tmp_path: Path
) -> None:
    wrong = given_credential(alice, "wrong", htpasswd_registry, "not-the-password")
    right = given_credential(alice, "right", htpasswd_registry, htpasswd_registry.password)
    reference = f"{htpasswd_registry.host}/acme/ubuntu"
    image, agent = steps.given_image(alice, "image", f"{reference}:24.04", wrong), steps.fresh("rack1-node")
    steps.enroll(settled.server, steps.make_bootstrap_token(alice), agent, tmp_path / "state")
    steps.choose_image(alice, agent, image)

    open_image(alice, image)
    check = alice.locator("#images-check")
    expect(check).to_contain_text("never")
    check.get_by_role("button", name="Check now").click()
    expect(check).to_contain_text("Wrong user or password")
    asked = settled.server.run("agent", "check", "--state", str(tmp_path / "state"))
    assert (asked.returncode, asked.stdout) == (1, "")
    assert htpasswd_registry.host in asked.stderr
    assert "not-the-password" not in asked.stderr + alice.content()

    alice.goto("/registry-credentials")
    alice.get_by_role("button", name=f"Actions for {wrong}", exact=True).click()
    steps.row(alice, wrong).get_by_role("link", name="Delete", exact=True).click()
    expect(alice.get_by_role("heading", name="Delete registry credential")).to_be_visible()
    alice.get_by_role("button", name="Move images and delete").click()
    steps.expect_summary(alice, "Move its images to: Choose the registry credential that its images use from now on.")
    choice = alice.get_by_label("Move its images to")
    expect(choice).to_have_attribute("aria-invalid", "true")
    choice.select_option(label=f"{right} ({htpasswd_registry.username})")
    alice.get_by_role("button", name="Move images and delete").click()
    expect(alice.get_by_text("Registry credential deleted. Its images use the other one now.")).to_be_visible()
    expect(steps.row(alice, wrong)).to_have_count(0)
    expect(steps.row(alice, right)).to_contain_text("1 image")

    open_image(alice, image)
    check.get_by_role("button", name="Check now").click()
    expect(check).to_contain_text("Works")
    expect(check).to_contain_text(digest)
    if steps.script_is_on(alice):
        expect(check.get_by_role("status")).to_be_focused()
    alice.get_by_label("Pin the digest that was checked").check()
    alice.get_by_role("button", name="Save").click()
    expect(alice.get_by_text("Image saved.")).to_be_visible()
    open_image(alice, image)
    expect(check).to_contain_text(f"Pinned to{digest}")
    asked = settled.server.run("agent", "check", "--state", str(tmp_path / "state"))
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith(f"{reference}@{digest} {digest}: ")
    pulled = settled.server.run("agent", "pull", "--state", str(tmp_path / "state"), "--to", str(tmp_path / "layout"))
    assert (pulled.returncode, pulled.stdout) == (0, f"pulled {reference}@{digest} {digest}\n"), pulled.stderr
    open_image(alice, image)
    expect(alice.locator(".facts").first).to_contain_text("Last pulledjust now")
