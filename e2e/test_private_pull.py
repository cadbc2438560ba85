"""The main job: store a credential in the browser, and an agent pulls its private image with it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e import steps
from e2e.conftest import Settled
from tests.real.registry import Registry, token_registry
from tests.real.service_account import service_account_key

SQLITE = pytest.mark.parametrize("settled", ["sqlite"], indirect=True)
"""The same server as the first journey's, which is made on PostgreSQL as well."""


@pytest.mark.parametrize("settled", ["sqlite", "postgresql"], indirect=True)
def test_a_stored_password_pulls_a_private_image(alice: Page, settled: Settled, htpasswd_registry: Registry, tmp_path: Path) -> None:
    digest, credential = htpasswd_registry.push("acme/ubuntu", "24.04"), steps.fresh("private")
    steps.store_password(alice, credential, htpasswd_registry.host, htpasswd_registry.username, htpasswd_registry.password)
    agent = steps.enrolled_for(alice, settled.server, credential, f"{htpasswd_registry.host}/acme/ubuntu:24.04", tmp_path / "state")
    status, words = steps.pulled(settled.server, tmp_path / "state", tmp_path / "layout")
    assert status == 0, words
    assert steps.manifest(tmp_path / "layout") == digest
    alice.goto("/agents")
    expect(steps.row(alice, agent)).to_contain_text("Pulled")
    alice.goto("/audit")
    expect(alice.get_by_role("row").filter(has_text="Registry credential handed over").filter(has_text=agent)).to_contain_text(credential)


@SQLITE
def test_a_wrong_password_fails_the_pull_and_the_row_says_so(
    alice: Page, settled: Settled, htpasswd_registry: Registry, tmp_path: Path
) -> None:
    htpasswd_registry.push("acme/secret", "1")
    credential = steps.fresh("private")
    steps.store_password(alice, credential, htpasswd_registry.host, htpasswd_registry.username, "not-the-password")
    agent = steps.enrolled_for(alice, settled.server, credential, f"{htpasswd_registry.host}/acme/secret:1", tmp_path / "state")
    status, words = steps.pulled(settled.server, tmp_path / "state", tmp_path / "layout")
    assert status == 1
    assert "not-the-password" not in words
    alice.goto("/agents")
    expect(steps.row(alice, agent)).to_contain_text("Wrong user or password")
    expect(steps.row(alice, agent)).to_contain_text("unauthorized")
    alice.goto("/registry-credentials")
    expect(steps.row(alice, credential)).to_contain_text("Wrong user or password")
    alice.get_by_role("link", name=credential, exact=True).click()
    alice.locator("input[name=password]").fill(htpasswd_registry.password)
    steps.save(alice)
    expect(alice.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    status, words = steps.pulled(settled.server, tmp_path / "state", tmp_path / "layout")
    assert status == 0, words
    expect(steps.row(alice, credential)).to_be_visible()
    alice.reload()
    expect(steps.row(alice, credential)).not_to_contain_text("Wrong user or password")


@SQLITE
@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_an_uploaded_key_file_pulls_and_arrives_byte_for_byte(alice: Page, settled: Settled, tmp_path: Path, crlf: bool) -> None:
    key, credential = service_account_key(crlf=crlf), steps.fresh("artifact-registry")
    file = tmp_path / "key.json"
    file.write_bytes(key)
    with token_registry(key=key) as registry:
        digest = registry.push("project/images/ubuntu", "24.04")
        steps.store_key_file(alice, credential, registry.host, file)
        steps.enrolled_for(alice, settled.server, credential, f"{registry.host}/project/images/ubuntu:24.04", tmp_path / "state")
        status, words = steps.pulled(settled.server, tmp_path / "state", tmp_path / "layout")
        assert status == 0, words
        assert steps.manifest(tmp_path / "layout") == digest
