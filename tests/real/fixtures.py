"""The real registries as fixtures, one of each in a run. `tests/conftest.py` and `e2e/conftest.py` import them by name."""

from collections.abc import Iterator

import pytest

from tests.real import aws_ecr, aws_kms, google_token_endpoint, openbao, registry
from tests.real import issuer as real_issuer
from tests.real.authority import Authority, new_authority
from tests.real.aws_ecr import AwsEcr
from tests.real.aws_kms import AwsKmsServer
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.issuer import Issuer
from tests.real.openbao import OpenBao
from tests.real.postgresql import Cluster, postgresql_cluster
from tests.real.registry import Registry


@pytest.fixture(scope="session")
def htpasswd_registry() -> Iterator[Registry]:
    """A private registry with a username and a password."""
    with registry.htpasswd_registry() as running:
        yield running


@pytest.fixture(scope="session")
def token_registry() -> Iterator[Registry]:
    """A private registry with token auth, `_json_key` and a service-account key file."""
    with registry.token_registry() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of the tests' own."""
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls_registry(authority: Authority) -> Iterator[Registry]:
    """A private registry with a username and a password, over TLS with a certificate of `authority`."""
    with registry.htpasswd_registry(authority=authority) as running:
        yield running


@pytest.fixture(scope="session")
def open_registry() -> Iterator[Registry]:
    """A public registry."""
    with registry.open_registry() as running:
        yield running


@pytest.fixture(scope="session")
def bao() -> Iterator[OpenBao]:
    """OpenBao with a transit engine, over TLS."""
    with openbao.openbao() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL of this process, which has no database yet: who wants one has `postgresql.new_database()` make it."""
    with postgresql_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def aws_kms_server() -> Iterator[AwsKmsServer]:
    """What speaks as AWS KMS does."""
    with aws_kms.aws_kms_server() as running:
        yield running


@pytest.fixture
def aws(aws_kms_server: AwsKmsServer, monkeypatch: pytest.MonkeyPatch) -> AwsKmsServer:
    """The same, with the credentials for it in the environment, and nothing of the home directory's."""
    aws_kms.use_no_others(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws_kms.ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws_kms.SECRET_ACCESS_KEY)
    return aws_kms_server


@pytest.fixture(scope="session")
def aws_ecr_server(aws_kms_server: AwsKmsServer) -> Iterator[AwsEcr]:
    """What speaks as Amazon ECR and AWS STS do: the same server of moto's, with a proxy before it."""
    with aws_ecr.aws_ecr(aws_kms_server.origin) as running:
        yield running


@pytest.fixture
def ecr(aws_ecr_server: AwsEcr) -> AwsEcr:
    """The same, with nothing asked and nothing given yet."""
    aws_ecr_server.begin()
    return aws_ecr_server


@pytest.fixture(scope="session")
def google_server() -> Iterator[GoogleTokenEndpoint]:
    """What speaks as Google's token endpoint does."""
    with google_token_endpoint.google_token_endpoint() as running:
        yield running


@pytest.fixture
def google(google_server: GoogleTokenEndpoint) -> GoogleTokenEndpoint:
    """The same, with nothing asked and nothing given yet, and no key known."""
    google_server.begin()
    return google_server


@pytest.fixture(scope="session")
def issuer_server() -> Iterator[Issuer]:
    """A small OpenID Connect issuer. By another name than the control plane's, so that a browser takes it for another site."""
    with real_issuer.issuer("localhost") as running:
        yield running


@pytest.fixture
def issuer(issuer_server: Issuer) -> Issuer:
    """The same, as an issuer should be, with nobody signed in."""
    issuer_server.begin()
    return issuer_server
