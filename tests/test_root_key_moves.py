"""From one root key to another by `rewrap-root`, between all that there are, and a rotation under a KMS."""

import asyncio
import os
from pathlib import Path

import pytest

from e2e.server import run
from tests.personas import settings_in
from tests.real.aws_kms import AwsKmsServer, use_no_others
from tests.real.openbao import OpenBao
from webapp.actor import Actor
from webapp.command import DONE, REFUSED, Command, Outcome
from webapp.commands import execute
from webapp.errors import ConfigurationError
from webapp.rotation import rotate
from webapp.settings import Settings
from webapp.store import open_store

pytestmark = pytest.mark.anyio

OPERATOR = Actor("", "command_line", "0", "command line (root)")


async def move(settings: Settings, to: str) -> Outcome:
    """Run `rewrap-root --to` on a store that is as these settings say."""
    async with open_store(settings) as store:
        return await execute(store, Command("rewrap-root", {"to": to}), os.getuid())


async def sound(settings: Settings) -> None:
    """The store opens, and all in it does."""
    async with open_store(settings) as store:
        assert (await store.check()).ok


async def fingerprints(settings: Settings) -> list[str]:
    """Of the root key in use, and then of all that are wrapped, oldest first."""
    async with open_store(settings) as store:
        (used,) = await store.database.fetch_all("SELECT DISTINCT root_fingerprint AS f FROM keyring")
        kept = await store.database.fetch_all("SELECT fingerprint AS f FROM root_keys ORDER BY rowid")
    return [str(row["f"]) for row in (used, *kept)]


async def test_the_keyring_moves_from_a_file_to_transit_to_aws_and_back(tmp_path: Path, bao: OpenBao, aws: AwsKmsServer) -> None:
    transit, cloud = bao.settings(bao.new_key()), aws.settings(aws.new_key())
    all_of_them = transit | {"WEBAPP_AWS_KMS_ENDPOINT": aws.origin}
    in_file = settings_in(tmp_path, **all_of_them | {"WEBAPP_ROOT_KEY": "file"})
    in_transit = settings_in(tmp_path, **all_of_them)
    in_cloud = settings_in(tmp_path, **all_of_them | cloud)
    new = tmp_path / "elsewhere" / "root.key"
    in_new = settings_in(tmp_path, WEBAPP_ROOT_KEY_FILE=str(new))
    await sound(in_file)

    outcome = await move(in_file, transit["WEBAPP_ROOT_KEY"])
    assert outcome.exit == DONE, outcome.stderr
    assert f"Set WEBAPP_ROOT_KEY={transit['WEBAPP_ROOT_KEY']} before the next start." in outcome.stdout
    with pytest.raises(ConfigurationError, match="WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint"):
        await sound(in_file)
    await sound(in_transit)

    outcome = await move(in_transit, cloud["WEBAPP_ROOT_KEY"])
    assert outcome.exit == DONE, outcome.stderr
    assert f"Set WEBAPP_ROOT_KEY={cloud['WEBAPP_ROOT_KEY']} before the next start." in outcome.stdout
    with pytest.raises(ConfigurationError, match="which is wrapped by aws-kms, and WEBAPP_ROOT_KEY names transit:"):
        await sound(in_transit)
    await sound(in_cloud)

    outcome = await move(in_cloud, str(new))
    assert outcome.exit == DONE, outcome.stderr
    assert f"Set WEBAPP_ROOT_KEY_FILE={new} and WEBAPP_ROOT_KEY=file before the next start" in outcome.stdout
    with pytest.raises(ConfigurationError, match="and the database holds none that a KMS wrapped"):
        await sound(in_cloud)
    await sound(in_new)
    used, *kept = await fingerprints(in_new)
    assert len({used, *kept}) == 3, "each move makes a root key, and what was wrapped stays for old backups"
    async with open_store(in_new) as store:
        actions = [row["action"] for row in await store.database.fetch_all("SELECT action FROM audit_log")]
    assert actions.count("root_key.change") == 3


def test_on_the_command_line_the_words_of_a_kms_are_no_path(tmp_path: Path, bao: OpenBao) -> None:
    environ = {**os.environ, "WEBAPP_DATA_DIR": str(tmp_path / "data"), **bao.settings(bao.new_key())}
    words = environ.pop("WEBAPP_ROOT_KEY")
    moved = run(environ, "rewrap-root", "--to", words)
    assert moved.returncode == DONE, moved.stderr
    assert f"wrapped by {words}.\nSet WEBAPP_ROOT_KEY={words} before the next start." in moved.stdout
    assert run({**environ, "WEBAPP_ROOT_KEY": words}, "check").returncode == DONE
    assert run(environ, "check").returncode == os.EX_CONFIG


async def test_a_move_that_fails_changes_nothing(tmp_path: Path, bao: OpenBao) -> None:
    name = bao.new_key()
    settings = settings_in(tmp_path, **bao.settings(name))
    before = await fingerprints(settings)
    for to, exit_status, reason in (
        (bao.words("none"), os.EX_CONFIG, "it refuses WEBAPP_TRANSIT_TOKEN (403)"),
        (f"transit:https://127.0.0.1:1/transit/{name}", 75, "cannot be reached"),
        ("transit:https://hunter2@127.0.0.1/transit/x", REFUSED, "it holds no address of a service"),
        ("aws-kms:alias/root", REFUSED, "Write the ARN of a key"),
        ("relative/root.key", REFUSED, "with its whole path"),
        (str(tmp_path / "data" / "lock" / "root.key"), os.EX_CONFIG, "cannot be written"),
    ):
        outcome = await move(settings, to)
        assert (outcome.exit, outcome.stdout) == (exit_status, ""), outcome
        assert reason in outcome.stderr
        assert "hunter2" not in outcome.stderr
    assert await fingerprints(settings) == before


async def test_keys_are_rotated_under_transit_while_the_loop_goes_on(tmp_path: Path, bao: OpenBao) -> None:
    token = tmp_path / "token"
    name = bao.new_key()
    environ = bao.settings(name)
    token.write_text(environ.pop("WEBAPP_TRANSIT_TOKEN"))
    settings = settings_in(tmp_path, **environ, WEBAPP_TRANSIT_TOKEN_FILE=str(token))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with open_store(settings) as store:
        turning = asyncio.create_task(turn())
        done = await rotate(store, OPERATOR, lambda done, total: None)
        turning.cancel()
        assert turns > 10
        assert (done.key, done.retired) == (5, (1,))
        token.write_text("hvs.hunter2")
        with pytest.raises(ConfigurationError, match="it refuses WEBAPP_TRANSIT_TOKEN"):
            await rotate(store, OPERATOR, lambda done, total: None)
        token.write_text(bao.new_token(name))  # as an agent does that renews it
        assert (await rotate(store, OPERATOR, lambda done, total: None)).key == 6
    await sound(settings)


async def test_a_kms_is_asked_at_the_start_and_then_by_a_rotation_only(
    tmp_path: Path, aws: AwsKmsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(settings_in(tmp_path, **aws.settings(aws.new_key()))) as store:
        use_no_others(monkeypatch)  # from here on it could not be asked
        assert (await store.check()).ok
        with pytest.raises(ConfigurationError, match="boto3 finds no AWS credentials"):
            await rotate(store, OPERATOR, lambda done, total: None)
        assert store.vault.active_kek == 1
