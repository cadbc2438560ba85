"""The arrows of the house point down only: the top → the slices → `web` → the foundation. Read off the sources, without importing them.

The floors are in CONTRIBUTING.md. A new module at the top of `webapp/` gets its floor here, in the same change.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FOUNDATION = {
    *(
        "actor",
        "chain",
        "clock",
        "database",
        "errors",
        "ids",
        "kms_key",
        "log",
        "names",
        "network",
        "nonce",
        "oidc_settings",
        "periodic",
        "records",
        "reference",
        "registry",
        "roles",
        "setting_values",
        "settings",
        "withheld",
    ),
    "vault",
}
WEB = {"web"}
SLICES = {"accounts", "agents", "audit", "credentials", "encryption", "images", "provisioning", "secrets"}
TOP = {
    *("__main__", "app", "audit_commands", "backup", "check", "cli", "command", "commands", "connections", "control", "copy_command"),
    *(
        "first_start",
        "http_cycles",
        "http_protocol",
        "keyring_watch",
        "listening",
        "people_commands",
        "processes",
        "restore",
        "rotation",
        "sealed_values",
        "serve",
        "store",
        "terminal",
    ),
}
AGENT = {"reference_agent"}
"""The program on the other machine: it shares the grammar of references with the server, what withholds a secret, and nothing else."""
SHARED_WITH_AGENT = ("webapp.reference", "webapp.withheld")

FLOORS = ("foundation", "web", "slices", "top")
FLOOR_OF = {part: floor for floor, parts in zip(FLOORS, (FOUNDATION, WEB, SLICES, TOP | AGENT), strict=True) for part in parts}

MAY_MEET_OTHERS = "provisioning"
"""The one slice that takes other slices' repositories and nouns; never what answers their requests."""

ANSWERS_REQUESTS = ("routes", "*_routes", "forms", "*_forms", "api")
"""The files of a slice that know HTTP. The others are its repositories and nouns, which could serve a command as well."""

ONLY_IN = {
    "databases": ["webapp.database.*"],
    "sqlalchemy": ["webapp.database.*"],
    "sqlite3": ["webapp.database.*"],
    "aiosqlite": ["webapp.database.*"],
    "asyncpg": ["webapp.database.*"],
    "boto3": ["webapp.vault.aws_kms", "webapp.credentials.aws_*"],
    "botocore": ["webapp.vault.aws_kms", "webapp.credentials.aws_*"],
    "webauthn": ["webapp.accounts.authenticator"],
    "google": ["webapp.credentials.google_tokens"],
    "authlib": ["webapp.accounts.oidc*"],
    "joserfc": ["webapp.accounts.oidc*"],
    "h11": ["webapp.registry.exchange"],
    "cryptography": ["webapp.vault.*", "webapp.credentials.service_account_key"],
}

LONGEST = 300
"""Lines; a longer file wants splitting by noun (architecture.md)."""

Sources = Mapping[str, str]
"""The text of each module, under its dotted name; a package's `__init__.py` is under the package's name."""


def broken_rules(sources: Sources) -> list[str]:
    """A sentence for each rule that these modules break, in their order."""
    imports = {module: sorted(set(_imports(module, text, sources))) for module, text in sources.items()}
    sentences = [_why_not(module, other) for module, imported in imports.items() for other in imported]
    return [*filter(None, sentences), *_without_a_floor(sources), *_circles(imports)]


def _why_not(module: str, other: str) -> str | None:
    """What is wrong with this one import, or None."""
    mine, theirs = _part(module), _part(other)
    if mine in AGENT:
        allowed = other in SHARED_WITH_AGENT or other.partition(".")[0] in sys.stdlib_module_names
        return None if allowed else f"{module} imports {other}: it takes the standard library and {' and '.join(SHARED_WITH_AGENT)} only"
    if not other.startswith("webapp."):
        return _why_not_third_party(module, other)
    if mine not in FLOOR_OF or theirs not in FLOOR_OF or module == "webapp":
        return None
    below = FLOORS.index(FLOOR_OF[theirs]) - FLOORS.index(FLOOR_OF[mine])
    if below > 0:
        return f"{module} imports {other}: that arrow points up, from {FLOOR_OF[mine]} to {FLOOR_OF[theirs]}"
    if mine in SLICES and not _answers_requests(module):
        if theirs in WEB:
            return f"{module} imports {other}: a repository or a noun knows no web"
        if mine == theirs and _answers_requests(other):
            return f"{module} imports {other}: a repository or a noun knows nothing of its routes and forms"
    if mine in SLICES and theirs in SLICES and mine != theirs:
        if mine != MAY_MEET_OTHERS:
            return f"{module} imports {other}: slices do not import each other"
        if _answers_requests(other):
            return f"{module} imports {other}: {MAY_MEET_OTHERS} takes repositories and nouns, not what answers requests"
    return None


def _why_not_third_party(module: str, other: str) -> str | None:
    package = other.partition(".")[0]
    if package in ONLY_IN and not any(fnmatch(f"{module}.", f"{place}.".replace("*.", "*")) for place in ONLY_IN[package]):
        return f"{module} imports {other}: only {' and '.join(ONLY_IN[package])} may"
    if package == "starlette":
        if FLOOR_OF.get(_part(module)) == "foundation":
            return f"{module} imports {other}: the foundation knows no web"
        if _part(module) in SLICES and not _answers_requests(module):
            return f"{module} imports {other}: a repository or a noun knows no web"
        if other == "starlette.routing.Route" and module != "webapp.web.routing":
            return f"{module} imports {other}: webapp.web.routing.page makes every route, so that none is without a permission"
    return None


def _part(module: str) -> str:
    """What stands directly in webapp/: `credentials` of `webapp.credentials.repository`."""
    return module.split(".")[1] if module.startswith("webapp.") else ""


def _answers_requests(module: str) -> bool:
    return any(fnmatch(module.rpartition(".")[2], pattern) for pattern in ANSWERS_REQUESTS)


def _imports(module: str, text: str, sources: Sources) -> Iterator[str]:
    """All that the module imports wherever it does so: modules of ours by their own names, names out of others as `package.name`."""
    is_package = any(other.startswith(f"{module}.") for other in sources)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                folders = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
                start = ".".join([*folders, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{start}.{alias.name}"
                yield whole if whole in sources or not start.startswith("webapp") or start == "webapp" else start
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            if called in {"import_module", "__import__"}:
                yield str(node.args[0].value)


def _without_a_floor(sources: Sources) -> list[str]:
    parts = sorted({_part(module) for module in sources} - {""} - set(FLOOR_OF))
    return [f"webapp.{part} has no floor: give it one in tests/test_architecture.py" for part in parts]


def _circles(imports: Mapping[str, list[str]]) -> list[str]:
    """One circle of imports, where there is any. A package that gathers its own modules' names is not one with them."""
    arrows = {
        module: {
            other for other in imported if other in imports and not other.startswith(f"{module}.") and not module.startswith(f"{other}.")
        }
        for module, imported in imports.items()
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return ["these import each other in a circle: " + " → ".join(reversed(error.args[1]))]
    return []


def _house() -> dict[str, str]:
    """The sources as they are."""
    files = sorted((ROOT / "webapp").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return dict(zip(names, (path.read_text(encoding="utf-8") for path in files), strict=True))


def test_all_arrows_point_down() -> None:
    house = _house()
    assert {"webapp.app", "webapp.credentials.repository", "webapp.vault", "webapp.web.routing"} <= set(house), "the house was found"
    assert broken_rules(house) == []


@pytest.mark.parametrize(
    ("module", "line", "reason"),
    [
        ("webapp.errors", "import webapp.web.forms", "points up, from foundation to web"),
        ("webapp.vault.vault", "from webapp.agents.repository import AgentRepository", "points up, from foundation to slices"),
        ("webapp.web.principal", "from webapp.accounts import repository", "points up, from web to slices"),
        ("webapp.web.principal", "def late():\n    from webapp.store import Store", "points up, from web to top"),
        ("webapp.agents.routes", "from ..store import Store", "points up, from slices to top"),
        ("webapp.agents.routes", "import importlib\nimportlib.import_module('webapp.app')", "points up, from slices to top"),
        ("webapp.images.routes", "from webapp.credentials.repository import CredentialRepository", "slices do not import each other"),
        ("webapp.images.image", "from ..credentials import credential", "slices do not import each other"),
        ("webapp.provisioning.provision", "from webapp.images.routes import ROUTES", "not what answers requests"),
        ("webapp.provisioning.routes", "from webapp.agents.api import ROUTES", "not what answers requests"),
        ("webapp.images.repository", "from starlette.requests import Request", "knows no web"),
        ("webapp.images.image", "import starlette", "knows no web"),
        ("webapp.images.image", "from webapp.web import forms", "knows no web"),
        ("webapp.images.repository", "from .forms import ImageForm", "knows nothing of its routes and forms"),
        ("webapp.agents.repository", "from webapp.agents.bootstrap_routes import ROUTES", "knows nothing of its routes and forms"),
        ("webapp.clock", "from starlette.requests import Request", "the foundation knows no web"),
        ("webapp.images.repository", "import sqlite3", "only webapp.database.* may"),
        ("webapp.store", "from sqlalchemy import text", "only webapp.database.* may"),
        ("webapp.databases", "import aiosqlite", "only webapp.database.* may"),
        ("webapp.credentials.forms", "from cryptography.hazmat.primitives import serialization", "service_account_key may"),
        ("webapp.images.routes", "from starlette.routing import Route", "none is without a permission"),
        ("webapp.reference_agent", "import httpx2", "standard library and webapp.reference and webapp.withheld only"),
        ("webapp.reference_agent", "from webapp.errors import AppError", "standard library and webapp.reference and webapp.withheld only"),
        ("webapp.vault.keyring", "from webapp.vault.root_key import RootKey", "these import each other in a circle"),
        ("webapp.helpers", "", "webapp.helpers has no floor"),
    ],
)
def test_it_finds_an_arrow_that_does_not_point_down(module: str, line: str, reason: str) -> None:
    house = {
        "webapp.vault.root_key": "from webapp.vault.keyring import Keyring",
        "webapp.images.forms": "",
        "webapp.web.forms": "",
        "webapp.credentials.credential": "",
        "webapp.accounts.repository": "",
    }
    found = broken_rules({**house, module: line})
    assert any(reason in sentence and module in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("webapp.app", "from webapp.credentials.routes import ROUTES\nfrom webapp.web.forms import MOST_BODY"),
        ("webapp.credentials.routes", "from starlette.requests import Request\nfrom webapp.web.forms import read_form"),
        ("webapp.credentials.repository", "from webapp.database import Database\nfrom .credential import Credential"),
        ("webapp.credentials.service_account_key", "from cryptography.hazmat.primitives import serialization"),
        ("webapp.database.sqlite", "import sqlite3\nimport databases"),
        ("webapp.database", "from .sqlite import path_of\nimport aiosqlite"),
        ("webapp.vault", "import cryptography"),
        ("webapp.provisioning.provision", "from webapp.images.image import Image\nfrom webapp.credentials.credential import Credential"),
        ("webapp.reference_agent", "import json\nfrom webapp.reference import Reference"),
        ("webapp.web.routing", "from starlette.routing import Route"),
    ],
)
def test_it_lets_an_arrow_down_be(module: str, line: str) -> None:
    house = {"webapp.database.sqlite": "", "webapp.credentials.credential": "", "webapp.images.image": "", "webapp.web.forms": ""}
    assert broken_rules({**house, module: line}) == []


def test_only_the_vault_and_the_key_check_speak_of_ciphers() -> None:
    naming = {module for module, text in _house().items() if "cryptography" in text}
    assert {module for module in naming if _part(module) != "vault"} <= {"webapp.credentials.service_account_key"}
    assert any(_part(module) == "vault" for module in naming), "the word was found where it belongs"


def test_no_file_is_longer_than_can_be_read_in_one_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("webapp", "tests", "e2e", "tools")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert "tests/test_architecture.py" in lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_every_folder_of_tests_mirrors_a_part_of_the_house() -> None:
    parts = {path.stem for path in (ROOT / "webapp").iterdir()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - parts - {"battery", "real"} == set(), "tests/ mirrors webapp/, but for the real parts and the battery"
