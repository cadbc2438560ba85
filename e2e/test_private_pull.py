"""The main job: store a credential in the browser, and an agent pulls its private image with it."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e import steps
from e2e.server import Server
from tests import system
from tests.real.registry import Registry, token_registry
from tests.real.service_account import service_account_key

AGENT = "rack1-node07"


def enroll(server: Server, token: str, state: Path) -> None:
    done = server.run("agent", "enroll", "--server", server.url, "--name", AGENT, "--state", str(state), text=token + "\n")
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr


def pulled(server: Server, state: Path, to: Path) -> tuple[int, str]:
    system.skopeo()
    done = server.run("agent", "pull", "--state", str(state), "--to", str(to))
    return done.returncode, done.stdout + done.stderr


def agent_row(page: Page) -> Locator:
    return page.locator("#agents-rows").get_by_role("row", name=AGENT)


def manifest(layout: Path) -> str:
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return digest


def test_a_stored_password_pulls_a_private_image(page: Page, server: Server, htpasswd_registry: Registry, tmp_path: Path) -> None:
    digest = htpasswd_registry.push("acme/ubuntu", "24.04")
    steps.set_up(page, server)
    steps.store_password(page, "private", htpasswd_registry.host, htpasswd_registry.username, htpasswd_registry.password)
    steps.add_image(page, "ubuntu-custom", f"{htpasswd_registry.host}/acme/ubuntu:24.04", "private")
    enroll(server, steps.make_bootstrap_token(page), tmp_path / "state")
    steps.choose_image(page, AGENT, "ubuntu-custom")
    status, words = pulled(server, tmp_path / "state", tmp_path / "layout")
    assert status == 0, words
    assert manifest(tmp_path / "layout") == digest
    page.goto("/agents")
    expect(agent_row(page)).to_contain_text("Pulled")
    page.goto("/audit")
    expect(page.get_by_role("row").filter(has_text="Registry credential handed over")).to_contain_text("private")


def test_a_wrong_password_fails_the_pull_and_the_row_says_so(
    page: Page, server: Server, htpasswd_registry: Registry, tmp_path: Path
) -> None:
    htpasswd_registry.push("acme/secret", "1")
    steps.set_up(page, server)
    steps.store_password(page, "private", htpasswd_registry.host, htpasswd_registry.username, "not-the-password")
    steps.add_image(page, "secret", f"{htpasswd_registry.host}/acme/secret:1", "private")
    enroll(server, steps.make_bootstrap_token(page), tmp_path / "state")
    steps.choose_image(page, AGENT, "secret")
    status, words = pulled(server, tmp_path / "state", tmp_path / "layout")
    assert status == 1
    assert "not-the-password" not in words
    page.goto("/agents")
    row = agent_row(page)
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("unauthorized")
    page.goto("/registry-credentials")
    page.get_by_role("link", name="private", exact=True).click()
    page.locator("input[name=password]").fill(htpasswd_registry.password)
    steps.save(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    status, words = pulled(server, tmp_path / "state", tmp_path / "layout")
    assert status == 0, words


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_an_uploaded_key_file_pulls_and_arrives_byte_for_byte(page: Page, server: Server, tmp_path: Path, crlf: bool) -> None:
    key = service_account_key(crlf=crlf)
    file = tmp_path / "key.json"
    file.write_bytes(key)
    with token_registry(key=key) as registry:
        digest = registry.push("project/images/ubuntu", "24.04")
        steps.set_up(page, server)
        steps.store_key_file(page, "artifact-registry", registry.host, file)
        steps.add_image(page, "ubuntu-gcp", f"{registry.host}/project/images/ubuntu:24.04", "artifact-registry")
        enroll(server, steps.make_bootstrap_token(page), tmp_path / "state")
        steps.choose_image(page, AGENT, "ubuntu-gcp")
        status, words = pulled(server, tmp_path / "state", tmp_path / "layout")
        assert status == 0, words
        assert manifest(tmp_path / "layout") == digest
