"""What can become of a sign-in or a pull at a registry: the answers that a test, a check and an agent's report are told apart by."""

from dataclasses import dataclass
from enum import StrEnum

from webapp.vault import Secret


class Kind(StrEnum):
    """What became of it. The value is what the API and the database hold."""

    WORKS = "works"
    WRONG_CREDENTIALS = "wrong-credentials"
    MAY_NOT_PULL = "may-not-pull"
    NO_SUCH_IMAGE = "no-such-image"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    MISSING_OR_NO_ACCESS = "missing-or-no-access"

    @property
    def label(self) -> str:
        """In the page's words."""
        return _LABELS[self]


_LABELS = {
    Kind.WORKS: "Works",
    Kind.WRONG_CREDENTIALS: "Wrong user or password",
    Kind.MAY_NOT_PULL: "May not pull this repository",
    Kind.NO_SUCH_IMAGE: "No such image",
    Kind.UNREACHABLE: "Not reachable from here",
    Kind.TLS: "TLS",
    Kind.MISSING_OR_NO_ACCESS: "Missing or no access, and this registry does not say which",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of it, and a sentence that says what to do; `digest` is the manifest's, where one was found.

    The sentence holds nothing that the registry said but words that were looked at first.
    """

    kind: Kind
    sentence: str
    digest: str | None = None

    @property
    def works(self) -> bool:
        """Whether an agent can expect the same to work."""
        return self.kind is Kind.WORKS


@dataclass(frozen=True, slots=True)
class SignIn:
    """What signs in at a registry: what an agent would be handed."""

    username: str
    password: Secret
