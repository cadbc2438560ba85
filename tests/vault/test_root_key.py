"""The root key's file: made once, readable by its owner alone, and nothing of it in a message."""

import os
import stat
from pathlib import Path

import pytest

from webapp.errors import ConfigurationError
from webapp.vault import create_root_key, read_root_key


def test_it_is_made_for_its_owners_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.key"
    made = create_root_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(made.key) == 32
    assert path.read_bytes().startswith(b"rcrk1_")
    assert [file.name for file in path.parent.iterdir()] == ["root.key"], "no temporary file is left"


def test_it_reads_what_it_made(tmp_path: Path) -> None:
    made = create_root_key(tmp_path / "root.key")
    read = read_root_key(tmp_path / "root.key")
    assert read.key == made.key
    assert read.fingerprint == made.fingerprint
    assert read.source == str(tmp_path / "root.key")


def test_no_two_keys_are_alike_and_a_fingerprint_tells_them_apart(tmp_path: Path) -> None:
    keys = [create_root_key(tmp_path / f"{number}.key") for number in range(3)]
    assert len({key.fingerprint for key in keys}) == 3


def test_one_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_root_key(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_ROOT_KEY_FILE: .* cannot be written"):
        create_root_key(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_ROOT_KEY_FILE: .* cannot be written"):
        create_root_key(tmp_path / "file" / "root.key")


def test_a_repr_tells_the_fingerprint_and_not_the_key(tmp_path: Path) -> None:
    made = create_root_key(tmp_path / "root.key")
    assert repr(made) == f"<RootKey {made.fingerprint} from {tmp_path / 'root.key'}>"


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o640, 0o600 | 0o004, 0o777])
def test_it_refuses_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "root.key"
    create_root_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others may read .* \(mode {mode:04o}\)\. Run: chmod 0400"):
        read_root_key(path)


def test_it_refuses_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no root key at"):
        read_root_key(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o400)
    with pytest.raises(ConfigurationError, match="is no regular file"):
        read_root_key(tmp_path / "pipe")  # and does not wait for a writer
    with pytest.raises(ConfigurationError, match=r"is no regular file|cannot be read"):
        read_root_key(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "a letter", "garbage", "bytes", "another check", "the key alone"])
def test_it_refuses_a_key_that_is_not_whole_and_repeats_nothing_of_it(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "root.key"
    create_root_key(path)
    text = path.read_bytes()
    damaged = {
        "empty": b"",
        "cut": text[:30],
        "longer": text[:-1] + b"A\n",
        "a letter": text[:10] + (b"A" if text[10:11] != b"A" else b"B") + text[11:],
        "garbage": b"hunter2-hunter2-hunter2",
        "bytes": bytes(range(256)),
        "another check": text[:-9] + b"00000000\n",
        "the key alone": text[6:],
    }[damage]
    path.chmod(0o600)
    path.write_bytes(damaged)
    with pytest.raises(ConfigurationError, match="holds no whole root key") as error:
        read_root_key(path)
    assert "hunter2" not in str(error.value)
    assert text.decode()[6:40] not in str(error.value)
    assert error.value.__cause__ is None


def test_of_what_systemd_hands_over_the_group_may_read(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    made = create_root_key(path)
    path.chmod(0o440)
    assert read_root_key(path, group_may_read=True).key == made.key
    for mode in (0o460, 0o450, 0o444, 0o441):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="others may read"):
            read_root_key(path, group_may_read=True)


def test_it_refuses_another_spelling_of_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_root_key(path)
    text = path.read_text()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for bits in (1, 2, 3):  # of base64's last letter, which nobody reads
        path.chmod(0o600)
        path.write_text(f"{text[:48]}{alphabet[alphabet.index(text[48]) ^ bits]}{text[49:]}")
        with pytest.raises(ConfigurationError, match="holds no whole root key"):
            read_root_key(path)
    path.write_text(f" {text}\r\n")
    assert read_root_key(path).source == str(path), "blanks around it are nothing"
