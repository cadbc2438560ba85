"""AWS KMS as what wraps the root key: `Encrypt` and `Decrypt` with an encryption context.

boto3 finds the credentials as it does for everybody: the environment, a profile, the role of the instance or the container. It is
an optional extra, and imported only here and only when it was chosen.
"""

from typing import Any, Protocol
from urllib.parse import urlsplit

from webapp.errors import AppError, ConfigurationError
from webapp.kms_key import AwsKmsKey
from webapp.setting_values import is_loopback
from webapp.vault.kms import SETTING, UNWRAP, WRAP, Context, does_not_open, not_now, refused, word
from webapp.vault.secret import Secret

_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 5, 10, 2

# https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html, "Errors"
_DOES_NOT_OPEN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_LATER = frozenset(
    {"DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException", "LimitExceededException", "ThrottlingException"}
)


class _Client(Protocol):
    """The part of boto3's client that is used."""

    def encrypt(self, **parameters: Any) -> dict[str, Any]: ...

    def decrypt(self, **parameters: Any) -> dict[str, Any]: ...


class AwsKms:
    """A key of AWS KMS. Raises ConfigurationError where boto3 is not installed or finds no address that may be used."""

    def __init__(self, key: AwsKmsKey, endpoint: str | None) -> None:
        self._key = key
        self._client = _client(key, endpoint)

    def wrap(self, key: Secret, context: Context) -> bytes:
        """Encrypt the root key. The errors are those of `Kms.wrap`."""
        answer = self._ask(WRAP, Plaintext=key.reveal(), EncryptionContext=dict(context))
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: Context) -> Secret:
        """Decrypt the root key. The errors are those of `Kms.unwrap`."""
        answer = self._ask(UNWRAP, CiphertextBlob=wrapped, EncryptionContext=dict(context))
        return Secret(bytes(answer["Plaintext"]))

    def _ask(self, verb: str, **parameters: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  an optional extra

        try:
            ask = self._client.encrypt if verb == WRAP else self._client.decrypt
            return ask(KeyId=self._key.arn, **parameters)
        except ClientError as error:
            problem = self._refusal(verb, error)
        except BotoCoreError as error:
            problem = self._failure(verb, error)
        # Raised out here: the library's exceptions may quote what was sent, a session token included.
        raise problem

    def _refusal(self, verb: str, error: Any) -> AppError:
        code = word(error.response.get("Error", {}).get("Code"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if verb == UNWRAP and code in _DOES_NOT_OPEN:
            return does_not_open(self._key)
        if code in _LATER or status == 429 or status >= 500:
            return not_now(self._key, verb, f"it cannot do it now ({code})")
        return refused(self._key, verb, f"it refuses ({code})")

    def _failure(self, verb: str, error: Exception) -> AppError:
        from botocore.exceptions import ConnectionError as NoConnection  # noqa: PLC0415  an optional extra
        from botocore.exceptions import HTTPClientError, NoCredentialsError, SSLError  # noqa: PLC0415

        name, where = word(type(error).__name__), self._client.meta.endpoint_url  # type: ignore[attr-defined]  # of boto3's clients
        if isinstance(error, NoCredentialsError):
            return refused(self._key, verb, "boto3 finds no AWS credentials: in the environment, in a profile or by the machine's role")
        if isinstance(error, SSLError):
            return refused(self._key, verb, f"the certificate of {where} is not one to trust")
        if isinstance(error, (NoConnection, HTTPClientError)):
            return not_now(self._key, verb, f"{where} cannot be reached ({name})")
        return refused(self._key, verb, f"boto3 cannot ask it ({name})")


def _client(key: AwsKmsKey, endpoint: str | None) -> _Client:
    try:
        import boto3.session  # noqa: PLC0415  an optional extra
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(f"{SETTING}: {key.kind} needs boto3. Run: pip install 'registry-credentials[aws]'") from None
    plain = endpoint is not None and endpoint.startswith("http://")
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        # What goes to this machine in plain text goes through no proxy; what goes by TLS may go through the environment's.
        proxies={} if plain else None,
    )
    try:
        client = boto3.session.Session().client("kms", region_name=key.region, endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        problem = ConfigurationError(f"{SETTING}: boto3 cannot be set up for {key} ({word(type(error).__name__)}).")
    else:
        address = urlsplit(client.meta.endpoint_url)
        if address.scheme == "https" or is_loopback(address.hostname or ""):
            return client  # type: ignore[no-any-return]  # boto3 makes its clients at run time
        problem = ConfigurationError(f"{SETTING}: boto3 is set up to ask {key} without TLS (AWS_ENDPOINT_URL or a profile). Use https://.")
    raise problem
