"""The root key: 256 bits in a file of its own, outside the data directory. It wraps the keyring and nothing else."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from webapp.errors import ConfigurationError
from webapp.vault.envelope import KEY_BYTES
from webapp.vault.secret import Secret

FILE_SETTING = "WEBAPP_ROOT_KEY_FILE"
_PREFIX = "rcrk1_"
_CHECK = 8


class RootKey:
    """A root key, where it was read from, and the setting that says so. Its fingerprint tells keys apart, and tells nothing of the key."""

    __slots__ = ("key", "setting", "source")

    def __init__(self, key: Secret, source: str, setting: str = FILE_SETTING) -> None:
        self.key = key
        self.source = source
        self.setting = setting

    def __repr__(self) -> str:
        return f"<RootKey {self.fingerprint} from {self.source}>"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of an HMAC-SHA-256 under the key."""
        return hmac.new(self.key.reveal(), b"registry-credentials root key fingerprint", hashlib.sha256).hexdigest()[:16]


def create_root_key(path: Path) -> RootKey:
    """Make a root key in a file with mode 0400, synced before this returns.

    Raises ConfigurationError when the file is there already or cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            os.write(descriptor, _encode(key))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, path)  # fails when the file is there, unlike a rename
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(f"{FILE_SETTING}: {path} cannot be written ({error.strerror}).") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return RootKey(Secret(key), str(path))


def read_root_key(path: Path, *, group_may_read: bool = False) -> RootKey:
    """Read the root key. Raises ConfigurationError: one line that names the file, and nothing of what is in it.

    `group_may_read` is for what systemd hands over: it lets the service's user in with an ACL, whose mask shows as the group's mode.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe is refused, not waited for
        try:
            mode = os.fstat(descriptor).st_mode
            text = os.read(descriptor, 4096) if stat.S_ISREG(mode) else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ConfigurationError(f"{FILE_SETTING}: there is no root key at {path}.") from None
    except OSError as error:
        raise ConfigurationError(f"{FILE_SETTING}: {path} cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{FILE_SETTING}: {path} is no regular file.")
    if mode & (0o037 if group_may_read else 0o077):
        raise ConfigurationError(f"{FILE_SETTING}: others may read {path} (mode {stat.S_IMODE(mode):04o}). Run: chmod 0400 {path}")
    return RootKey(Secret(_decode(text, path)), str(path))


def _encode(key: bytes) -> bytes:
    body = base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")
    return f"{_PREFIX}{body}_{_checksum(key)}\n".encode("ascii")


def _decode(text: bytes, path: Path) -> bytes:
    wrong = ConfigurationError(
        f"{FILE_SETTING}: {path} holds no whole root key (one line that begins with {_PREFIX}). Put the copy back that you kept."
    )
    try:
        line = text.decode("ascii").strip()
        body = line.removeprefix(_PREFIX)[: -_CHECK - 1]
        key = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise wrong from None
    # The very line that this key is written as: base64 has bits at its end that nobody reads.
    if len(key) != KEY_BYTES or not hmac.compare_digest(line, _encode(key).decode("ascii").strip()):
        raise wrong
    return key


def _checksum(key: bytes) -> str:
    return hashlib.sha256(b"registry-credentials root key file" + key).hexdigest()[:_CHECK]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
