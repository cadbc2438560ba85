"""What minting a token comes to: the token, or a sentence that says why there is none."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from webapp.registry.kinds import Kind
from webapp.vault import Secret


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was just minted, and until when whoever minted it takes it (Unix ms)."""

    value: Secret
    expires_at: int


class NotMinted(Exception):
    """There is no token. `sentence` may be shown: it holds no secret, and nothing that the other side said.

    `lasting` is what asking again does not help against: somebody has to change something first.
    """

    def __init__(self, kind: Kind, sentence: str, *, lasting: bool) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Source:
    """What a token is minted from: a credential's value of this version, with all that it is sealed to."""

    account_id: str
    credential_id: str
    secret_version: int
    host: str
    auth_method: str
    parameters: str


Mint = Callable[[Source, Secret], Awaitable[Token]]
"""Mints a token from a value that was opened. Raises NotMinted."""
