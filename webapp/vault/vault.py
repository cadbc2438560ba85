"""What the program asks of its keys: seal and open values, and MACs of tokens, cookies and audit rows."""

import hmac
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from webapp.errors import Unavailable
from webapp.vault import envelope
from webapp.vault.envelope import SealBroken, associated_data
from webapp.vault.keyring import Keyring
from webapp.vault.secret import Secret
from webapp.vault.tokens import Token, base62


@dataclass(frozen=True, slots=True)
class SealContext:
    """The place that a value is sealed to; it opens nowhere else.

    `version` is the secret's version; `binding` what else the value must not be separated from, such as a
    credential's host and method.
    """

    account_id: str
    table: str
    record_id: str
    field: str
    version: int
    binding: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value, and the id of the KEK that wraps its data key."""

    kek_id: int
    blob: bytes


def steady_clock() -> float:
    """Seconds that pass while the machine sleeps, too, where the system counts those."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


async def _as_they_are() -> None:
    """No other process changes the keyring."""


class Vault:
    """The keys of one installation, in memory. Where other processes may change the keyring, `keyring_watch` keeps it up to date."""

    def __init__(self, keyring: Keyring, instance_id: str) -> None:
        self._keyring = keyring
        self.instance_id = instance_id
        self.look_up: Callable[[], Awaitable[None]] = _as_they_are
        """Has the keys that other processes have made by now. Raises Unavailable."""
        self.seals_until = math.inf
        """When (`steady_clock`) nothing more is sealed before the keys were looked up again: another one may be to seal by then."""
        self._wraps: Counter[int] = Counter()
        self._signing_key = Ed25519PrivateKey.from_private_bytes(keyring.others["head"].reveal())  # made once

    def __repr__(self) -> str:
        return f"<Vault of {self.instance_id}>"

    def seal(self, secret: Secret, context: SealContext) -> Sealed:
        """Seal a value to its place, under a data key of its own. Raises Unavailable when the keys were not looked up for too long."""
        kek_id = self._sealing_kek()
        kek = self._keyring.kek(kek_id).reveal()
        self._wraps[kek_id] += 1
        return Sealed(kek_id, envelope.seal(kek, kek_id, secret.reveal(), self.place(context)))

    def open(self, blob: bytes, context: SealContext) -> Secret:
        """Open a value that was sealed to this place. Raises SealBroken, or UnknownKey."""
        return self.open_at(blob, self.place(context))

    def open_at(self, blob: bytes, place: bytes) -> Secret:
        """As `open`, at a place that was made ready: for what is opened again and again."""
        kek = self._keyring.kek(envelope.key_id(blob)).reveal()
        return Secret(envelope.open_sealed(kek, blob, place))

    async def opened(self, blob: bytes, context: SealContext) -> Secret:
        """As `open`; a key that is not known here is looked up first, since another process may have made it. Raises Unavailable, too."""
        if self.lacks_key_of(blob):
            await self.look_up()
        return self.open(blob, context)

    def lacks_key_of(self, blob: bytes) -> bool:
        """Whether it names a key that is not known here."""
        try:
            return envelope.key_id(blob) not in self._keyring.keks
        except SealBroken:
            return False

    def rewrap(self, blob: bytes, context: SealContext) -> Sealed:
        """The same value under the KEK that seals now; it is not opened. Raises SealBroken, or UnknownKey; Unavailable as `seal` does."""
        kek_id = self._sealing_kek()
        old = envelope.key_id(blob)
        if old == kek_id:
            return Sealed(kek_id, blob)
        keks = self._keyring.kek(old).reveal(), self._keyring.kek(kek_id).reveal()
        self._wraps[kek_id] += 1
        return Sealed(kek_id, envelope.rewrap(*keks, kek_id, blob, self.place(context)))

    def _sealing_kek(self) -> int:
        if steady_clock() > self.seals_until:
            raise Unavailable("The keys are being looked up again. Try again.", "keys-looked-up")
        return self._keyring.active_kek

    def take_wraps(self) -> Mapping[int, int]:
        """How many data keys each KEK has wrapped in this process since this was asked last."""
        taken, self._wraps = self._wraps, Counter()
        return taken

    def give_back_wraps(self, taken: Mapping[int, int]) -> None:
        """Count these the next time: they could not be noted."""
        self._wraps.update(taken)

    def use(self, keyring: Keyring) -> None:
        """Go on with this keyring: it has all the keys of the one before."""
        if not (keyring.keks.keys() >= self._keyring.keks.keys() and keyring.others == self._keyring.others):
            raise ValueError("a keyring loses no key")
        self._keyring = keyring

    @property
    def keks(self) -> set[int]:
        """The ids of all KEKs."""
        return set(self._keyring.keks)

    @property
    def active_kek(self) -> int:
        """The id of the KEK that seals now."""
        return self._keyring.active_kek

    def place(self, context: SealContext) -> bytes:
        """The place, made ready."""
        whole: list[str | int] = [self.instance_id, context.account_id, context.table, context.record_id, context.field]
        return envelope.place_of([*whole, context.version, len(context.binding), *context.binding])

    def audit_mac(self, data: bytes) -> bytes:
        """HMAC-SHA-256 under the audit key."""
        return hmac.digest(self._keyring.others["audit"].reveal(), data, "sha256")

    def signature(self, purpose: str, data: bytes) -> bytes:
        """An Ed25519 signature (RFC 8032) with the key that signs heads; one purpose's signature is no other's. 64 bytes."""
        return self._signing_key.sign(_signed(purpose, data))

    def is_signed(self, purpose: str, data: bytes, signature: bytes) -> bool:
        """Whether this installation has signed it for this purpose."""
        try:
            self._signing_key.public_key().verify(signature, _signed(purpose, data))
        except (InvalidSignature, TypeError):  # TypeError: SQLite keeps text in a column of bytes, too
            return False
        return True

    @property
    def public_key(self) -> str:
        """What the signatures are verified with, in hexadecimal (RFC 8032, 32 bytes): no secret, and may be kept elsewhere."""
        return self._signing_key.public_key().public_bytes_raw().hex()

    def cookie_mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA-256 over what a cookie holds, under the token key; one purpose's MAC is no other's."""
        return self._token_key_mac(associated_data("cookie", [purpose]) + data)

    def row_mac(self, purpose: str, parts: Sequence[str | int]) -> bytes:
        """HMAC-SHA-256 over columns of a row that nobody may write but this program, under the token key."""
        return self._token_key_mac(associated_data("row", (self.instance_id, purpose, *parts)))

    def wrote_row(self, purpose: str, parts: Sequence[str | int], stored_mac: object) -> bool:
        """Whether this is the MAC of these columns; not for what SQLite lets others put into a column of bytes, such as text."""
        return isinstance(stored_mac, bytes) and hmac.compare_digest(stored_mac, self.row_mac(purpose, parts))

    def token_mac(self, token: Token, *, owner: str, account_id: str, expires_at: int | None) -> bytes:
        """What the database holds of a token: an HMAC over it, its owner, account and expiry (Unix ms).

        So whoever can write to the database can neither put in a token of their own nor prolong one.
        """
        return self._token_key_mac(self.claim(token, owner=owner, account_id=account_id, expires_at=expires_at) + token.text.reveal())

    def token_matches(self, token: Token, stored_mac: bytes, *, owner: str, account_id: str, expires_at: int | None) -> bool:
        """Whether this is the token whose MAC is stored, in constant time."""
        return self.claim_holds(token, stored_mac, self.claim(token, owner=owner, account_id=account_id, expires_at=expires_at))

    def claim(self, token: Token, *, owner: str, account_id: str, expires_at: int | None) -> bytes:
        """What a token's MAC says of it, made ready: all that is not secret."""
        expiry = "" if expires_at is None else expires_at
        return associated_data("token", [self.instance_id, token.kind, token.accessor, owner, account_id, expiry])

    def claim_holds(self, token: Token, stored_mac: bytes, claim: bytes) -> bool:
        """As `token_matches`, for what is asked again and again: the claim was made ready for a token with this accessor."""
        mac: object = stored_mac  # SQLite lets others put text into a column of bytes
        return isinstance(mac, bytes) and hmac.compare_digest(mac, self._token_key_mac(claim + token.text.reveal()))

    def setup_token(self) -> Secret:
        """The token of the set-up link: the same in every process, and of use only while there is no member."""
        mac = self._token_key_mac(associated_data("set-up", [self.instance_id]))
        return Secret(base62(int.from_bytes(mac), 43).encode("ascii"))

    def _token_key_mac(self, data: bytes) -> bytes:
        return hmac.digest(self._keyring.others["token"].reveal(), data, "sha256")


def _signed(purpose: str, data: bytes) -> bytes:
    return f"registry-credentials {purpose}\n".encode() + data
