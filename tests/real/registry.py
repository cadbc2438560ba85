"""Private registries: Debian's `docker-registry` on a free port of 127.0.0.1, with each of the two ways to ask for a password.

The context managers start one; `tests/real/fixtures.py` has them as fixtures of a whole run.
"""

import base64
import contextlib
import ctypes
import ctypes.util
import json
import secrets
import shutil
import string
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import system
from tests.real.authority import Authority
from tests.real.oci_image import write_image
from tests.real.process import free_port, running
from tests.real.service_account import service_account_key
from tests.real.token_server import ISSUER, SERVICE, token_server

START_TRIES = 3


@dataclass(frozen=True)
class Registry:
    """A running registry. `host` is `127.0.0.1:PORT`; `username` is empty where everybody may pull; `log` is what the registry printed.

    `realm` is the origin of its token server. `refused` are patterns of repositories that nobody may pull: add to it. `ca_file` has the
    certificate to trust, where it speaks TLS.
    """

    host: str
    username: str
    password: str = field(repr=False)
    log: Path
    realm: str = ""
    refused: set[str] = field(default_factory=set)
    ca_file: Path | None = None

    def settings(self) -> dict[str, str]:
        """The variables with which a control plane may ask this registry, which is on this machine."""
        return settings_for(self)

    def push(self, repository: str, tag: str = "latest") -> str:
        """Push a new tiny image as `host/repository:tag`; returns its manifest's digest. Raises RuntimeError with skopeo's words."""
        with tempfile.TemporaryDirectory() as scratch:
            layout, digest_file = Path(scratch, "layout"), Path(scratch, "digest")
            built = write_image(layout, tag)
            pushed = _skopeo(
                [
                    "--dest-tls-verify=false",
                    "--digestfile",
                    str(digest_file),
                    f"oci:{layout}:{tag}",
                    f"docker://{self.host}/{repository}:{tag}",
                ],
                _auths(self.host, self.username, self.password),
            )
            if pushed.returncode:
                raise RuntimeError(f"skopeo could not push to {self.host}: {pushed.stderr}")
            digest = digest_file.read_text().strip()
        if digest != built:
            raise RuntimeError(f"The registry holds {digest}, and {built} was pushed.")
        return digest

    def pull(self, repository: str, tag: str, username: str, password: str, to: Path) -> subprocess.CompletedProcess[str]:
        """What `skopeo copy` says to a pull with these; an empty `username` is an anonymous pull."""
        source = f"docker://{self.host}/{repository}:{tag}"
        return _skopeo(["--src-tls-verify=false", source, f"oci:{to}:{tag}"], _auths(self.host, username, password))


def settings_for(*registries: Registry) -> dict[str, str]:
    """The variables with which a control plane may ask these registries; at most one authority among them."""
    settings = {"WEBAPP_ALLOWED_REGISTRIES": ", ".join(f"{'' if one.ca_file else 'http://'}{one.host}" for one in registries)}
    if realms := [f"{one.host}={one.realm}" for one in registries if one.realm]:
        settings["WEBAPP_ALLOWED_REALMS"] = ", ".join(realms)
    for one in registries:
        if one.ca_file is not None:
            settings["WEBAPP_REGISTRY_CA_FILE"] = str(one.ca_file)
    return settings


@contextlib.contextmanager
def htpasswd_registry(*, username: str = "acme-bot", password: str | None = None, authority: Authority | None = None) -> Iterator[Registry]:
    """A registry that asks for HTTP basic auth. Without `password` it makes one with the characters that careless code trips over.

    With an `authority` it speaks TLS, with a certificate of that one.
    """
    password = f"p%20 \"é'$&+\\{secrets.token_urlsafe(16)}=/" if password is None else password
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        passwords = Path(folder, "htpasswd")
        passwords.write_text(f"{username}:{_bcrypt(password)}\n")
        auth = {"htpasswd": {"realm": "registry of the tests", "path": str(passwords)}}
        with _registry(Path(folder), auth, username, password, authority) as registry:
            yield registry


@contextlib.contextmanager
def token_registry(
    *, username: str = "_json_key", key: bytes | None = None, accepts: Callable[[bytes], bool] | None = None
) -> Iterator[Registry]:
    """A registry that sends its clients to a token server, as Google's does; the password is the key file `key`, byte for byte.

    `accepts` is asked about every other password, such as a token that was minted.
    """
    key = service_account_key() if key is None else key
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        certificate = Path(folder, "token-server.pem")
        refused: set[str] = set()
        with token_server(username=username, password=key, certificate_file=certificate, refused=refused, accepts=accepts) as realm:
            auth = {"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(certificate)}}
            with _registry(Path(folder), auth, username, key.decode()) as registry:
                yield replace(registry, realm=realm.removesuffix("/token"), refused=refused)


@contextlib.contextmanager
def open_registry() -> Iterator[Registry]:
    """A registry that asks nobody for anything, for public images."""
    with tempfile.TemporaryDirectory(prefix="registry-") as folder, _registry(Path(folder), {}, "", "") as registry:
        yield registry


@contextlib.contextmanager
def _registry(
    folder: Path, auth: Mapping[str, object], username: str, password: str, authority: Authority | None = None
) -> Iterator[Registry]:
    program, log = system.docker_registry(), folder / "registry.log"
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(START_TRIES)):
            host = f"127.0.0.1:{(port := free_port())}"
            http: dict[str, object] = {"addr": host, "secret": secrets.token_hex(16)}
            if authority is not None:
                http["tls"] = authority.issue(folder)
            config = {
                "version": 0.1,
                "log": {"level": "info"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
                "http": http,
            }
            # JSON is YAML, and an empty `auth` is an error to the registry.
            (folder / "config.yml").write_text(json.dumps({**config, "auth": auth} if auth else config))
            try:
                stack.enter_context(running([program, "serve", folder / "config.yml"], port=port, log=log))
                break
            except RuntimeError:
                # Somebody may have taken the port between the look and the start.
                if not tries_left:
                    raise
        yield Registry(host, username, password, log, ca_file=None if authority is None else authority.ca_file)


def _auths(host: str, username: str, password: str) -> dict[str, dict[str, str]]:
    return {host: {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}} if username else {}


def _skopeo(arguments: list[str], auths: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    """`skopeo copy` with an auth file of our own; HOME is empty, since skopeo 1.9 looks there when the auth file has no answer."""
    with tempfile.TemporaryDirectory() as home:
        auth_file = Path(home, "auth.json")
        auth_file.touch(mode=0o600)
        auth_file.write_text(json.dumps({"auths": auths}))
        command = [str(system.skopeo()), "copy", "--quiet", "--authfile", str(auth_file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": home}, timeout=60, check=False)


def _bcrypt(password: str) -> str:
    """The only hash that the registry takes: by crypt(3) where it knows bcrypt (libxcrypt), else by Apache's htpasswd (macOS)."""
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or ctypes.util.find_library("c"))
    library.crypt.restype = ctypes.c_char_p
    # A salt is 22 characters of 6 bits, of which 128 bits count: the last character's low bits are none, so it is one of four.
    letters = "./" + string.ascii_letters + string.digits
    salt = "".join(secrets.choice(letters) for _ in range(21)) + secrets.choice(".Oeu")
    hashed: bytes | None = library.crypt(password.encode(), f"$2b$05${salt}".encode())
    if hashed is None or not hashed.startswith(b"$2b$"):
        hashed = subprocess.run(
            [shutil.which("htpasswd") or "htpasswd", "-niBC", "5", "name"], input=password.encode(), capture_output=True, check=True
        ).stdout
        hashed = hashed.strip().partition(b":")[2]
    return hashed.decode()
