"""Credentials whose tokens are minted, stored and as drafts."""

from tests.personas import House
from tests.real.aws_kms import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from webapp.credentials.credential import ECR_USERNAME, GCP_TOKEN_USERNAME, AuthMethod, Credential, CredentialFields
from webapp.credentials.minting import Source
from webapp.credentials.parameters import GCP_ACCESS_TOKEN, EcrParameters
from webapp.vault import Secret

ECR_HOST = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
GOOGLE_HOST = "europe-docker.pkg.dev"
ROLE = "arn:aws:iam::123456789012:role/puller"
KEY = EcrParameters(REGION, ACCESS_KEY_ID)


def ecr_fields(parameters: EcrParameters = KEY, host: str = ECR_HOST, name: str = "ecr-acme") -> CredentialFields:
    """A credential of Amazon ECR, as the form would parse it."""
    return CredentialFields(name, name, "", host, AuthMethod.AWS_ECR, ECR_USERNAME, str(parameters))


def google_fields(name: str = "gar-acme") -> CredentialFields:
    """A service account key of which tokens are handed over."""
    return CredentialFields(name, name, "", GOOGLE_HOST, AuthMethod.GCP_SERVICE_ACCOUNT_KEY, GCP_TOKEN_USERNAME, GCP_ACCESS_TOKEN)


async def store(house: House, fields: CredentialFields | None = None, value: bytes = SECRET_ACCESS_KEY.encode()) -> Credential:
    """Store it, as alice does."""
    credential, _ = await house.store.credentials.add(house.alice.actor, ecr_fields() if fields is None else fields, Secret(value))
    return credential


def source(parameters: EcrParameters = KEY, host: str = ECR_HOST) -> Source:
    """What a token is minted from, of a credential that is nowhere stored."""
    return Source("account", "credential", 1, host, AuthMethod.AWS_ECR, str(parameters))
