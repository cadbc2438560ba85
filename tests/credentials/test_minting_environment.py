"""Neither variables nor a home directory nor a pasted key file have a say in who is asked for tokens: connections are counted."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.credentials.minting import ECR_HOST, KEY, google_fields, source
from tests.real.aws_ecr import GET_TOKEN, AwsEcr
from tests.real.aws_kms import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.service_account import service_account_key
from webapp.credentials import aws_ecr
from webapp.credentials.google_tokens import GoogleTokens
from webapp.credentials.minting import NotMinted, Source
from webapp.credentials.parameters import EcrParameters
from webapp.registry.dialer import Dialer
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

VALUE = Secret(SECRET_ACCESS_KEY.encode())


@dataclass
class Trap:
    """A listener that nobody should come to."""

    origin: str
    came: int = 0


@pytest.fixture
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caught = Trap(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def count() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    caught.came += 1
                    connection.close()

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield caught
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def trapped(trap: Trap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trap:
    """An environment and a home directory in which everything leads to the listener."""
    profile = f"endpoint_url = {trap.origin}\nregion = us-gov-west-1\naws_access_key_id = AKIAOFAPROFILE\naws_secret_access_key = x\n"
    files = {name: tmp_path / name for name in ("config", "credentials")}
    files["config"].write_text(f"[default]\n{profile}[profile trap]\n{profile}role_arn = arn:aws:iam::1:role/x\nsource_profile = default\n")
    files["credentials"].write_text(f"[default]\n{profile}[trap]\n{profile}")
    variables = {
        "HOME": str(tmp_path), "AWS_PROFILE": "trap", "AWS_DEFAULT_PROFILE": "trap", "AWS_CONFIG_FILE": str(files["config"]),
        "AWS_SHARED_CREDENTIALS_FILE": str(files["credentials"]), "AWS_DEFAULT_REGION": "us-gov-west-1", "AWS_REGION": "us-gov-west-1",
        "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_DATA_PATH": str(tmp_path),
        "AWS_CA_BUNDLE": str(tmp_path / "none.pem"), "AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "9", "AWS_CSM_ENABLED": "true",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": trap.origin,
    }  # fmt: skip
    for service in ("", "_ECR", "_STS"):
        variables[f"AWS_ENDPOINT_URL{service}"] = trap.origin
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        variables[name] = trap.origin
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    return trap


async def test_the_trap_counts(trap: Trap) -> None:
    with socket.create_connection(("127.0.0.1", int(trap.origin.rpartition(":")[2])), timeout=5) as connection:
        assert connection.recv(1) == b""
    assert trap.came == 1


async def test_a_key_is_asked_for_at_the_endpoint_and_nowhere_else(ecr: AwsEcr, trapped: Trap) -> None:
    asks = aws_ecr.AwsEcr(False, frozenset(), ecr.origin, ecr.origin)
    parameters = EcrParameters(REGION, ACCESS_KEY_ID, "arn:aws:iam::123456789012:role/puller")
    await asks.mint(source(parameters), VALUE)
    assert {signed for _, signed in ecr.signed_by[:1]} == {ACCESS_KEY_ID}
    assert ecr.regions == {REGION}
    assert trapped.came == 0


async def test_an_address_that_was_built_goes_through_no_proxy(trapped: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    # The region's own host, which has no address here: what is looked up is noted, and nobody else is asked instead.
    looked_up: list[str] = []

    def nowhere(host: str, *_: object, **__: object) -> object:
        looked_up.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    asks = aws_ecr.AwsEcr(False, frozenset(), None, None)
    with pytest.raises(NotMinted, match="cannot be reached"):
        await asks.mint(source(KEY), VALUE)
    assert set(looked_up) == {f"api.ecr.{REGION}.amazonaws.com"}
    assert trapped.came == 0


async def test_the_servers_own_role_comes_from_its_environment_and_no_file(
    ecr: AwsEcr, trapped: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = aws_ecr.AwsEcr(True, frozenset(), ecr.origin, ecr.origin)
    own = Source("account", "credential", 1, ECR_HOST, "aws_ecr", str(EcrParameters(REGION)))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NotMinted, match="has no role in AWS"):
        await asks.mint(own, VALUE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHESERVERITSELF")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server-itself")
    await asks.mint(own, VALUE)
    assert ecr.signed_by == [(GET_TOKEN, "AKIAOFTHESERVERITSELF")]
    assert trapped.came == 0


async def test_a_key_file_has_no_say_in_who_is_asked(google: GoogleTokenEndpoint, trapped: Trap) -> None:
    key = service_account_key()
    google.know(key)
    pasted = json.loads(key) | {
        "token_uri": f"{trapped.origin}/token", "auth_uri": trapped.origin, "universe_domain": "127.0.0.1",
        "auth_provider_x509_cert_url": trapped.origin, "client_x509_cert_url": trapped.origin, "quota_project_id": "theirs",
    }  # fmt: skip
    dialer = Dialer.of(Settings.from_environ({}))
    token = await GoogleTokens(dialer, lambda: 0, google.origin).mint(_google_source(), Secret(json.dumps(pasted).encode()))
    assert token.value.reveal().decode() == google.tokens[0]
    assert (google.asked, trapped.came) == (1, 0)


def _google_source() -> Source:
    fields = google_fields()
    return Source("account", "credential", 1, fields.host, fields.auth_method, fields.parameters)
