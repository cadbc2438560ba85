"""The seven answers, each produced for real: docker-registry with htpasswd, with a token server and over TLS."""

from pathlib import Path

import pytest

from tests.real.authority import new_authority
from tests.real.process import free_port
from tests.real.registry import Registry, settings_for
from webapp.reference import Reference
from webapp.registry.check import check_registry
from webapp.registry.dialer import Dialer
from webapp.registry.kinds import Kind, SignIn, Verdict
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio


async def checked(
    registry: Registry, image: str = "", *, password: str | None = None, anonymous: bool = False, settings: dict[str, str] | None = None
) -> Verdict:
    """What a control plane that may ask this registry says of its user, or of a user with another password."""
    dialer = Dialer.of(Settings.from_environ(registry.settings() if settings is None else settings))
    secret = registry.password if password is None else password
    sign_in = None if anonymous else SignIn(registry.username or "acme-bot", Secret(secret.encode()))
    reference = Reference.parse(f"{registry.host}/{image}") if image else None
    verdict = await check_registry(dialer, registry.host, sign_in, reference)
    assert registry.host in verdict.sentence
    assert not secret or secret not in verdict.sentence
    assert verdict.sentence.isprintable()
    assert verdict.sentence.endswith(".")
    return verdict


@pytest.fixture(scope="module", params=["htpasswd_registry", "token_registry", "tls_registry"])
def private_registry(request: pytest.FixtureRequest) -> tuple[Registry, str]:
    """Each of the three, and the digest of acme/checked:24.04 there."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Registry)
    return found, found.push("acme/checked", "24.04")


async def test_the_right_password_works(private_registry: tuple[Registry, str]) -> None:
    registry, _ = private_registry
    verdict = await checked(registry)
    assert (verdict.kind, verdict.works, verdict.digest) == (Kind.WORKS, True, None)


async def test_an_image_that_is_there_is_found_with_its_digest(private_registry: tuple[Registry, str]) -> None:
    registry, digest = private_registry
    for image in ("acme/checked:24.04", f"acme/checked@{digest}"):
        verdict = await checked(registry, image)
        assert (verdict.kind, verdict.digest) == (Kind.WORKS, digest)


async def test_a_wrong_password_is_told(private_registry: tuple[Registry, str]) -> None:
    registry, _ = private_registry
    for image in ("", "acme/checked:24.04"):
        assert (await checked(registry, image, password="wrong")).kind is Kind.WRONG_CREDENTIALS


async def test_an_image_that_is_missing_is_told(private_registry: tuple[Registry, str]) -> None:
    registry, _ = private_registry
    for image in ("acme/checked:none", "acme/never-pushed:1", f"acme/checked@sha256:{'0' * 64}"):
        assert (await checked(registry, image)).kind is Kind.NO_SUCH_IMAGE


async def test_a_repository_that_may_not_be_pulled_is_told_from_one_that_is_missing(token_registry: Registry) -> None:
    token_registry.push("acme/not-for-you", "1")
    token_registry.refused.add("acme/not-for-you")
    assert (await checked(token_registry, "acme/not-for-you:1")).kind is Kind.MAY_NOT_PULL
    assert (await checked(token_registry, "acme/not-there:1")).kind is Kind.NO_SUCH_IMAGE


async def test_a_registry_that_hides_says_neither(token_registry: Registry) -> None:
    token_registry.push("hidden/there", "1")
    token_registry.refused.add("hidden/*")
    verdicts = [await checked(token_registry, f"hidden/{name}:1") for name in ("there", "gone")]
    assert [verdict.kind for verdict in verdicts] == [Kind.MISSING_OR_NO_ACCESS] * 2


async def test_nobody_listens(htpasswd_registry: Registry) -> None:
    nowhere = Registry(f"127.0.0.1:{free_port()}", "acme-bot", "secret", htpasswd_registry.log)
    assert (await checked(nowhere)).kind is Kind.UNREACHABLE


async def test_a_certificate_of_somebody_else_is_not_trusted(tls_registry: Registry, tmp_path: Path) -> None:
    other = new_authority(tmp_path)
    verdict = await checked(tls_registry, settings={**tls_registry.settings(), "WEBAPP_REGISTRY_CA_FILE": str(other.ca_file)})
    assert verdict.kind is Kind.TLS
    assert "WEBAPP_REGISTRY_CA_FILE" in verdict.sentence


async def test_a_certificate_for_another_name_is_not_trusted(tls_registry: Registry) -> None:
    name = f"registry.lan:{tls_registry.host.partition(':')[2]}"
    settings = Settings.from_environ({**tls_registry.settings(), "WEBAPP_ALLOWED_REGISTRIES": name})

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    verdict = await check_registry(Dialer.of(settings, resolve), name, None)
    assert verdict.kind is Kind.TLS
    assert "not valid for 'registry.lan'" in verdict.sentence


async def test_a_registry_without_tls_is_told(htpasswd_registry: Registry) -> None:
    verdict = await checked(htpasswd_registry, settings={"WEBAPP_ALLOWED_REGISTRIES": htpasswd_registry.host})
    assert verdict.kind is Kind.TLS


async def test_a_registry_that_nobody_allowed_is_not_asked(htpasswd_registry: Registry) -> None:
    before = htpasswd_registry.log.read_text()
    verdict = await checked(htpasswd_registry, settings={})
    assert (verdict.kind, htpasswd_registry.log.read_text()) == (Kind.UNREACHABLE, before)
    assert "WEBAPP_ALLOWED_REGISTRIES" in verdict.sentence


async def test_a_realm_that_nobody_approved_gets_nothing(token_registry: Registry) -> None:
    allowed = {"WEBAPP_ALLOWED_REGISTRIES": token_registry.settings()["WEBAPP_ALLOWED_REGISTRIES"]}
    for anonymous in (True, False):
        verdict = await checked(token_registry, "acme/checked:1", anonymous=anonymous, settings=allowed)
        assert verdict.kind is Kind.UNREACHABLE
        assert f"{token_registry.host}={token_registry.realm}" in verdict.sentence


async def test_a_public_image_needs_nobody(open_registry: Registry) -> None:
    digest = open_registry.push("acme/base", "1")
    verdict = await checked(open_registry, "acme/base:1", anonymous=True)
    assert (verdict.kind, verdict.digest) == (Kind.WORKS, digest)
    assert (await checked(open_registry, "acme/base:2", anonymous=True)).kind is Kind.NO_SUCH_IMAGE


async def test_a_private_image_wants_somebody(private_registry: tuple[Registry, str]) -> None:
    registry, _ = private_registry
    verdict = await checked(registry, "acme/checked:24.04", anonymous=True)
    assert verdict.kind is Kind.MISSING_OR_NO_ACCESS
    assert "not everybody may" in verdict.sentence


async def test_a_registry_that_asks_nobody_says_so(open_registry: Registry) -> None:
    open_registry.push("acme/base", "1")
    for image in ("", "acme/base:1"):
        verdict = await checked(open_registry, image, password="whatever")
        assert verdict.works
        assert "without a sign-in" in verdict.sentence


def test_settings_for_several_registries_at_once(token_registry: Registry, tls_registry: Registry) -> None:
    settings = settings_for(token_registry, tls_registry)
    assert settings["WEBAPP_ALLOWED_REGISTRIES"] == f"http://{token_registry.host}, {tls_registry.host}"
    assert Settings.from_environ(settings).registry_ca_file == tls_registry.ca_file
