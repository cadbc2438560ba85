"""Take docs/screenshot.png anew: the list of registry credentials, on a server that is furnished for it in the browser."""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Page

from e2e import steps
from e2e.browser import launch, open_context
from e2e.server import serve
from tests import system
from tests.real.aws_kms import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.real.service_account import service_account_key

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "screenshot.png"
SIZE = {"width": 1280, "height": 720}

NOBODYS = "nobody's password"

PASSWORDS = (
    ("docker-hub-pull", "registry-1.docker.io", "acmemachines", "Read-only team token"),
    ("ghcr-acme", "ghcr.io", "acme-bot", "Token with read:packages"),
    ("harbor-lab", "harbor.lab.acme.example:8443", "robot$provisioner", "The lab in Graz"),
    ("quay-mirror", "quay.io", "acme+pull", ""),
)
ECR = {
    "name": "ecr-frankfurt",
    "registry_url": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "auth_method": "aws_ecr",
    "access_key_id": ACCESS_KEY_ID,
    "secret_access_key": SECRET_ACCESS_KEY,
    "aws_region": "eu-central-1",
}
DAYS = {"ghcr-acme": 9, "docker-hub-pull": 130}
"""In how many days which of them expires."""
KEYS = (("artifact-registry-eu", "europe-west3-docker.pkg.dev"),)

IMAGES = (
    ("debian-12-storage", "europe-west3-docker.pkg.dev/acme-images/os/debian:12-storage", "artifact-registry-eu"),
    ("debian-12-edge", "europe-west3-docker.pkg.dev/acme-images/os/debian:12-edge", "artifact-registry-eu"),
    ("flatcar-gpu", "acmemachines/flatcar-gpu:4081", "docker-hub-pull"),
    ("rocky-9-compute", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/os/rocky:9.5", "ecr-frankfurt"),
    ("ubuntu-24.04-base", "ghcr.io/acme/ubuntu:24.04", "ghcr-acme"),
    ("ubuntu-24.04-gpu", "ghcr.io/acme/ubuntu-gpu:24.04", "ghcr-acme"),
    ("ubuntu-22.04-base", "ghcr.io/acme/ubuntu:22.04", "ghcr-acme"),
    ("nixos-lab", "harbor.lab.acme.example:8443/os/nixos:24.11", "harbor-lab"),
)


def main() -> int:
    """Returns 0 when the picture is written."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "server") as server, launch(system.chromium()) as browser:
        page = open_context(browser, server, viewport=SIZE, color_scheme="light").new_page()
        steps.set_up(page, server, "Acme Machines")
        _furnish(page, Path(folder))
        page.goto("/registry-credentials")
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
    print(f"Wrote {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size // 1024} KiB.")
    return 0


def _furnish(page: Page, folder: Path) -> None:
    for name, host, username, description in PASSWORDS:
        last = str(datetime.now(UTC).date() + timedelta(DAYS[name])) if name in DAYS else ""
        values = {"name": name, "description": description, "registry_url": host, "auth_method": "password", "username": username}
        steps.given(page, "/registry-credentials", {**values, "password": NOBODYS, "expires_on": last})
    steps.given(page, "/registry-credentials", ECR)
    for name, host in KEYS:
        (folder / "key.json").write_bytes(service_account_key())
        steps.store_key_file(page, name, host, folder / "key.json")
    for name, reference, credential in IMAGES:
        steps.add_image(page, name, reference, credential)


if __name__ == "__main__":
    sys.exit(main())
