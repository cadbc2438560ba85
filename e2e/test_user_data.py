"""Secrets and variables: stored in the browser, used by an image's user data, and handed to the agent byte for byte."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from e2e import steps
from e2e.server import Server

SECRET = 'it\'s "quoted" \\ and\nhas two lines: ü'
TEMPLATE = """#cloud-config
hostname: node-{{ variables.STAGE }}
write_files:
  - path: /etc/app/password
    permissions: "0400"
    content: {{ secrets.DB_PASSWORD|tojson }}
  - path: /etc/app/password.b64
    encoding: b64
    content: {{ secrets.DB_PASSWORD|b64encode }}
{%- if variables.STAGE == 'prod' %}
runcmd:
  - [systemctl, enable, --now, app]
{%- endif %}
"""
RENDERED = """#cloud-config
hostname: node-prod
write_files:
  - path: /etc/app/password
    permissions: "0400"
    content: "it's \\"quoted\\" \\\\ and\\nhas two lines: ü"
  - path: /etc/app/password.b64
    encoding: b64
    content: aXQncyAicXVvdGVkIiBcIGFuZApoYXMgdHdvIGxpbmVzOiDDvA==
runcmd:
  - [systemctl, enable, --now, app]
"""


def store(page: Page, kind: str, name: str, value: str) -> None:
    page.goto(f"/{kind}s")
    page.get_by_role("link", name=f"New {kind}").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Value", exact=True).fill(value)
    steps.save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    assert (value in page.content()) is (kind == "variable")


def handed_over(server: Server, page: Page) -> str:
    """The user data that a new agent, with the image chosen, is handed."""
    with httpx2.Client(base_url=server.url) as agent:
        token = steps.make_bootstrap_token(page)
        enrolled = agent.post("/api/v1/enroll", json={"name": "rack1-node07"}, headers={"Authorization": f"Bearer {token}"}).json()
        steps.choose_image(page, "rack1-node07", "debian-12")
        answer = agent.get("/api/v1/provision", headers={"Authorization": f"Bearer {enrolled['agent_token']}"})
    assert answer.status_code == 200, answer.text
    user_data: str = answer.json()["user_data"]
    return user_data


def test_an_agent_is_handed_the_user_data_byte_for_byte(page: Page, server: Server, tmp_path: Path) -> None:
    steps.set_up(page, server)
    store(page, "secret", "DB_PASSWORD", SECRET)
    store(page, "variable", "STAGE", "prod")
    page.goto("/images")
    page.get_by_role("link", name="New image").first.click()
    page.get_by_label("Name", exact=True).fill("debian-12")
    page.get_by_label("Docker Image URL").fill("debian:12")
    page.get_by_label("User data", exact=True).fill(TEMPLATE.replace("STAGE }}", "STAG }}"))
    steps.save(page)
    expect(page.locator(".error-summary")).to_contain_text("User data: Line 2: there is no variable STAG.")
    page.get_by_label("User data", exact=True).fill(TEMPLATE)
    steps.save(page)
    expect(page.get_by_role("link", name="debian-12", exact=True)).to_be_visible()
    user_data = handed_over(server, page)
    assert user_data == RENDERED
    page.goto("/audit")
    row = page.get_by_role("row").filter(has_text="Public image handed over")
    expect(row).to_contain_text("user data reads secrets.DB_PASSWORD (version 1), variables.STAGE")
    page.goto("/secrets")
    expect(page.get_by_role("row").filter(has_text="DB_PASSWORD")).to_contain_text("1 image")
    (tmp_path / "user-data").write_text(user_data)
    cloud_init = shutil.which("cloud-init")
    if cloud_init is None:
        pytest.skip("cloud-init is not installed, so its schema was not asked (Debian: cloud-init)")
    checked = subprocess.run(
        [cloud_init, "schema", "--config-file", str(tmp_path / "user-data")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_preview_masks_secrets_and_leaves_the_form_as_it_is(page: Page, server: Server) -> None:
    steps.set_up(page, server)
    store(page, "secret", "DB_PASSWORD", SECRET)
    store(page, "variable", "STAGE", "prod")
    page.goto("/images")
    page.get_by_role("link", name="New image").first.click()
    page.get_by_label("Name", exact=True).fill("debian-12")
    page.get_by_label("User data", exact=True).fill("pw: {{ secrets.DB_PASSWORD }}\nstage: {{ variables.STAGE }}\n")
    page.get_by_role("button", name="Preview user data").click()
    expect(page.locator(".preview pre")).to_have_text("pw: ••••\nstage: prod\n")
    expect(page.get_by_label("Name", exact=True)).to_have_value("debian-12")
    expect(page.get_by_label("User data", exact=True)).to_have_value(re.compile("secrets.DB_PASSWORD"))


def test_an_env_file_is_previewed_and_imported(page: Page, server: Server, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# staging\nexport DB_PASSWORD='hunter2 and more'\nAPI_KEY=s3cret\nAPI_KEY=twice\nbad-name=1\n")
    steps.set_up(page, server)
    store(page, "secret", "DB_PASSWORD", "before")
    page.goto("/secrets")
    page.get_by_role("link", name="Import .env").click()
    page.get_by_label("Upload a .env file").set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("0 new secrets, 1 replaced, 3 refused.")).to_be_visible()
    assert "hunter2" not in page.content()
    assert "s3cret" not in page.content()
    page.get_by_role("button", name="Import 1 secret").click()
    expect(page.get_by_text("Secrets imported.")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_role("row").filter(has_text="Secret's value replaced")).to_contain_text("version 2")
