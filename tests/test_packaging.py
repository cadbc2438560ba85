"""What is installed: from the public index only, each file with its hash, and a wheel that has all that the server reads."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def locked_packages() -> list[dict[str, Any]]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    packages: list[dict[str, Any]] = lock["package"]
    return [package for package in packages if package["name"] != "registry-credentials"]


def test_the_lock_names_the_public_index_only() -> None:
    packages = locked_packages()
    files = [file for package in packages for file in (package.get("sdist"), *package.get("wheels", [])) if file]
    assert {package["source"].get("registry") for package in packages} == {"https://pypi.org/simple"}
    assert {file["url"].split("/")[2] for file in files} == {"files.pythonhosted.org"}
    assert all(file["hash"].startswith("sha256:") for file in files)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_requirements_are_those_of_the_lock(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pinned = {line.split(" ")[0] for line in lines if not line.startswith(" ")}
    hashes = {line.strip().removeprefix("--hash=").removesuffix(" \\") for line in lines if line.startswith(" ")}
    packages = [package for package in locked_packages() if f"{package['name']}=={package['version']}" in pinned]
    assert len(packages) == len(pinned) > 20
    files = [file for package in packages for file in (package.get("sdist"), *package.get("wheels", [])) if file]
    assert hashes == {file["hash"] for file in files}


def test_the_libraries_of_clouds_and_issuers_are_loaded_by_none_who_did_not_choose_them() -> None:
    for requirements in ("requirements.txt", "requirements-dev.txt"):  # `make run` serves all methods; the package has an extra
        assert "\nboto3==" in (ROOT / requirements).read_text(encoding="utf-8")
    slow = "'boto' in n or n.startswith(('google', 'authlib', 'joserfc'))"
    loaded = f"import sys, webapp.serve, webapp.commands; print([n for n in sys.modules if {slow}])"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_built_wheel_has_the_templates_the_static_files_and_the_migrations(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    wanted = [path for folder in ("templates", "static") for path in (ROOT / folder).rglob("*") if path.is_file()]
    migrations = list((ROOT / "webapp" / "database" / "migrations").glob("*.sql"))
    assert wanted
    assert migrations
    assert {f"webapp/{path.relative_to(ROOT)}" for path in wanted} | {str(path.relative_to(ROOT)) for path in migrations} <= packed
    assert not any(name.startswith(("tests/", "e2e/")) for name in packed)
