"""Tokens that were minted, in the battery: rows of them, and what hands them over when nobody mints any more."""

from tests.battery.furnished import Furnished, add_image, enrol
from webapp.actor import Actor
from webapp.clock import HOUR
from webapp.credentials.credential import ECR_USERNAME, AuthMethod, CredentialFields
from webapp.credentials.minted_tokens import MintedTokens
from webapp.credentials.minting import Mint, NotMinted, Source, Token
from webapp.credentials.parameters import EcrParameters
from webapp.registry.kinds import Kind
from webapp.store import Store
from webapp.vault import Secret

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
_PARAMETERS = str(EcrParameters("eu-central-1", "AKIAIOSFODNN7EXAMPLE"))


def tokens_of(store: Store, mint: Mint | None = None) -> MintedTokens:
    """The tokens as a server has them that has just started, for which nobody mints any unless it is said who."""
    return MintedTokens(store.database, store.vault, store.chain, store.clock, mint or _nobody)


async def add_minted(house: Furnished, actor: Actor, name: str) -> tuple[str, int]:
    """Store a credential of Amazon ECR whose token is minted, for an agent's image; its id, and the agent's place in the list."""
    store, token = house.store, f"token-of-{name}"

    async def mint(source: Source, value: Secret) -> Token:
        return Token(Secret(token.encode()), house.clock() + 12 * HOUR)

    fields = CredentialFields(name, name, "", HOST, AuthMethod.AWS_ECR, ECR_USERNAME, _PARAMETERS)
    credential, _ = await store.credentials.add(actor, fields, Secret(b"secret-access-key"))
    row = await store.database.fetch_one("SELECT sealed FROM registry_credentials WHERE id = :id", {"id": credential.id})
    assert row is not None
    source = Source(actor.account_id, credential.id, 1, HOST, str(AuthMethod.AWS_ECR), _PARAMETERS)
    await tokens_of(store, mint).get(source, row["sealed"])
    image = await add_image(house, actor, credential, HOST)
    await enrol(house, actor, image, token)
    return credential.id, len(house.agents) - 1


async def _nobody(source: Source, value: Secret) -> Token:
    raise NotMinted(Kind.UNREACHABLE, "Nobody mints.", lasting=True)
