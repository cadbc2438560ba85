"""The root key from a KMS, in the whole store: the first start, the next ones, and all that is refused without a byte changed."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.server import run
from tests.personas import settings_in
from tests.real.aws_kms import AwsKmsServer
from tests.real.openbao import OpenBao
from tests.real.process import free_port
from tests.test_store import change, files, fingerprint_of, started
from webapp.command import DONE, Command
from webapp.commands import execute
from webapp.database import Row, inspect
from webapp.errors import ConfigurationError, Unavailable
from webapp.keyring_watch import ROOT_KEYS_SQL
from webapp.settings import Settings
from webapp.store import open_store
from webapp.vault import current_root_key

pytestmark = pytest.mark.anyio


class Provider:
    """A KMS of one kind, which makes keys."""

    def __init__(self, kind: str, new: Callable[[], dict[str, str]]) -> None:
        self.kind, self.new = kind, new
        self.environ = new()

    def settings(self, folder: Path, **more: str) -> Settings:
        """Settings of a store in this folder, under this KMS's key."""
        return settings_in(folder, **self.environ, **more)

    @property
    def words(self) -> str:
        return self.environ["WEBAPP_ROOT_KEY"]


@pytest.fixture(params=["transit", "aws-kms"])
def kms(request: pytest.FixtureRequest, bao: OpenBao, aws: AwsKmsServer) -> Provider:
    """OpenBao's, and then Amazon's."""
    if request.param == "transit":
        return Provider("transit", lambda: bao.settings(bao.new_key()))
    return Provider("aws-kms", lambda: aws.settings(aws.new_key()))


async def refused(settings: Settings, kind: type[Exception] = ConfigurationError) -> str:
    """What a start says that is refused; not a byte changes, and it tells no secret."""
    before = files(settings)
    with pytest.raises(kind) as error:
        await started(settings)
    assert files(settings) == before
    sentence = str(error.value)
    assert len(sentence.splitlines()) == 1
    assert not settings.transit_token() or settings.transit_token() not in sentence
    return sentence


def rows(settings: Settings) -> list[Row]:
    """What the database holds of root keys that were wrapped."""
    found = inspect(settings.database_url, (ROOT_KEYS_SQL,))
    assert found is not None
    return found[0]


async def test_the_first_start_makes_a_root_key_that_only_the_kms_unwraps(tmp_path: Path, kms: Provider) -> None:
    settings = kms.settings(tmp_path)
    said = " ".join(await started(settings))
    expected = await fingerprint_of(settings)
    assert said.startswith(f"Made a root key, wrapped by {kms.words} (fingerprint {expected}).")
    assert not settings.root_key_file.parent.exists(), "no file is written"
    assert await started(settings) == [], "the second start makes none"
    (row,) = rows(settings)
    assert (row["fingerprint"], row["provider"]) == (expected, kms.words)
    root = current_root_key(settings, [{"root_fingerprint": expected}], [row], await installation(settings)).key.reveal()
    stored = b"".join(files(settings).values())
    assert not any(form in stored for form in (root, base64.b64encode(root), root.hex().encode()))


async def installation(settings: Settings) -> str:
    async with open_store(settings) as store:
        return store.vault.instance_id


async def test_what_another_installation_had_wrapped_is_refused(tmp_path: Path, kms: Provider) -> None:
    settings, others = kms.settings(tmp_path / "ours"), kms.settings(tmp_path / "theirs")
    expected = await fingerprint_of(settings)
    await started(others)
    (theirs,) = rows(others)
    assert isinstance(theirs["wrapped"], bytes)
    change(settings, f"UPDATE root_keys SET wrapped = x'{theirs['wrapped'].hex()}'")
    sentence = await refused(settings)
    assert sentence.startswith(f"WEBAPP_ROOT_KEY: expected the root key with fingerprint {expected}, but {kms.words} was asked to unwrap")
    assert "for another installation" in sentence
    # With their fingerprint beside it, too: ours is not what the keyring was wrapped with.
    change(settings, f"UPDATE keyring SET root_fingerprint = '{theirs['fingerprint']}'")
    change(settings, f"UPDATE root_keys SET fingerprint = '{theirs['fingerprint']}'")
    assert "for another installation" in await refused(settings)
    change(settings, f"UPDATE installation SET id = '{await installation(others)}'")
    assert "of the keyring does not open" in await refused(settings), "nor do our keys open under theirs"


async def test_what_an_older_root_key_was_is_not_taken_for_the_newer(tmp_path: Path, kms: Provider) -> None:
    settings = kms.settings(tmp_path)
    await started(settings)
    (older,) = rows(settings)
    assert isinstance(older["wrapped"], bytes)
    async with open_store(settings) as store:
        moved = await execute(store, Command("rewrap-root", {"to": kms.words}), os.getuid())
    assert moved.exit == DONE, moved.stderr
    assert "WEBAPP_ROOT_KEY stays as it is." in moved.stdout
    assert len(rows(settings)) == 2
    change(settings, f"UPDATE root_keys SET wrapped = x'{older['wrapped'].hex()}'")
    assert "it refuses what the database holds" in await refused(settings)


CHANGES = {
    "UPDATE root_keys SET wrapped = substr(wrapped, 1, length(wrapped) - 4)": "it refuses what the database holds",
    "UPDATE root_keys SET wrapped = 'text'": "but the database holds something else in its place",
    "UPDATE root_keys SET wrapped = 7": "but the database holds something else in its place",
    "UPDATE root_keys SET wrapped = zeroblob(10000)": "but the database holds something else in its place",
    "UPDATE root_keys SET provider = 'hunter2'": "which is wrapped by something else, and WEBAPP_ROOT_KEY names",
    "UPDATE root_keys SET fingerprint = 'other'": "and the database holds none that a KMS wrapped",
    "DROP TABLE root_keys": "and the database holds none that a KMS wrapped",
    "UPDATE installation SET id = 'other'": "it refuses what the database holds",
}


async def test_a_database_that_was_changed_is_refused(tmp_path: Path, kms: Provider) -> None:
    settings = kms.settings(tmp_path / "whole")
    expected = await fingerprint_of(settings)
    for number, (statement, reason) in enumerate(CHANGES.items()):
        shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        changed = kms.settings(tmp_path / str(number))
        change(changed, statement)
        sentence = await refused(changed)
        assert sentence.startswith(f"WEBAPP_ROOT_KEY: expected the root key with fingerprint {expected}, ")
        assert reason in sentence
        assert "hunter2" not in sentence


async def test_who_may_write_to_both_the_database_and_the_kms_puts_in_no_root_key_of_their_own(tmp_path: Path, bao: OpenBao) -> None:
    name = bao.new_key()
    settings = settings_in(tmp_path, **bao.settings(name))
    expected, instance_id = await fingerprint_of(settings), await installation(settings)
    context = {"purpose": "registry-credentials root key", "installation": instance_id, "fingerprint": expected}
    bound = base64.b64encode(json.dumps(context, sort_keys=True).encode()).decode()
    for key, reason in ((b"k" * 32, "found "), (b"k" * 31, "unwrapped something that is no root key")):
        fields = {"plaintext": base64.b64encode(key).decode(), "associated_data": bound}
        change(
            settings,
            f"UPDATE root_keys SET wrapped = x'{bao.write(f'transit/encrypt/{name}', fields)['data']['ciphertext'].encode().hex()}'",
        )
        sentence = await refused(settings)
        assert sentence.startswith(f"WEBAPP_ROOT_KEY: expected the root key with fingerprint {expected}, ")
        assert reason in sentence
        assert bao.words(name) in sentence


async def test_another_key_of_the_kms_is_refused(tmp_path: Path, kms: Provider) -> None:
    expected = await fingerprint_of(kms.settings(tmp_path))
    other = Provider(kms.kind, kms.new)
    sentence = await refused(other.settings(tmp_path))
    assert sentence.startswith(f"WEBAPP_ROOT_KEY: expected the root key with fingerprint {expected}, but {other.words} was asked")


async def test_a_kms_that_cannot_be_reached_changes_nothing(tmp_path: Path, kms: Provider, bao: OpenBao, aws: AwsKmsServer) -> None:
    await started(kms.settings(tmp_path))
    nowhere = f"127.0.0.1:{free_port()}"
    gone = {
        name: value.replace(bao.origin, f"https://{nowhere}").replace(aws.origin, f"http://{nowhere}")
        for name, value in kms.environ.items()
    }
    sentence = await refused(settings_in(tmp_path, **gone), Unavailable)
    assert nowhere in sentence
    assert sentence.endswith("Nothing was changed. Try again.")
    with pytest.raises(Unavailable):
        await started(settings_in(tmp_path / "new", **gone))
    assert [path.name for path in (tmp_path / "new" / "data").iterdir()] == ["lock"], "a first start begins nothing without it"


async def test_a_database_under_a_file_says_so_to_a_kms_and_the_other_way_round(tmp_path: Path, bao: OpenBao) -> None:
    kms = Provider("transit", lambda: bao.settings(bao.new_key()))
    in_file = settings_in(tmp_path / "file")
    expected = await fingerprint_of(in_file)
    assert f"expected the root key with fingerprint {expected}, and the database holds none" in await refused(
        kms.settings(tmp_path / "file")
    )
    await started(kms.settings(tmp_path / "kms"))
    sentence = await refused(settings_in(tmp_path / "kms"))
    assert f"It is wrapped by {kms.kind}: name that in WEBAPP_ROOT_KEY." in sentence
    assert not (tmp_path / "kms" / "data-key").exists()


async def test_a_database_of_the_program_before_goes_on_with_its_file(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await started(settings)
    change(settings, "DROP TABLE root_keys")
    change(settings, "DELETE FROM migrations WHERE number = 4")
    assert await started(settings) == []
    assert rows(settings) == []


async def test_a_wrong_token_is_named_and_not_shown(tmp_path: Path, bao: OpenBao) -> None:
    environ = bao.settings(bao.new_key())
    await started(settings_in(tmp_path, **environ))
    settings = settings_in(tmp_path, **environ | {"WEBAPP_TRANSIT_TOKEN": "hvs.hunter2"})
    sentence = await refused(settings)
    assert "it refuses WEBAPP_TRANSIT_TOKEN (403)" in sentence
    assert "hunter2" not in sentence + repr(settings)
    missing = settings_in(tmp_path, **environ | {"WEBAPP_TRANSIT_TOKEN": ""})
    assert (await refused(missing)).startswith("WEBAPP_TRANSIT_TOKEN: it is missing")


def test_the_exit_status_tells_what_is_wrong_from_what_may_pass(tmp_path: Path, bao: OpenBao) -> None:
    environ = {**os.environ, "WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PORT": str(free_port()), **bao.settings(bao.new_key())}
    wrong = run({**environ, "WEBAPP_TRANSIT_TOKEN": "hvs.hunter2"}, "serve")
    later = run({**environ, "WEBAPP_ROOT_KEY": f"transit:https://127.0.0.1:{free_port()}/transit/root"}, "serve")
    assert (wrong.returncode, later.returncode) == (os.EX_CONFIG, os.EX_TEMPFAIL)
    for done in (wrong, later):
        (line,) = done.stderr.splitlines()
        assert line.startswith("registry-credentials: WEBAPP_ROOT_KEY: ")
        assert done.stdout == ""
        assert "hunter2" not in line
