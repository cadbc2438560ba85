"""Tokens of Amazon ECR: minted by AWS for an access key, for a role that the key may assume, or for this server's own role.

botocore is an optional extra, imported when it is first needed. It is told everything, in a session of our own (`aws_session.py`): where
AWS is, which key signs, and that there is no proxy.
"""

import asyncio
import base64
import binascii
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from webapp.credentials.aws_session import Keys, new_client, new_session, own_keys
from webapp.credentials.credential import ECR_USERNAME
from webapp.credentials.ecr_host import domain_of, is_region, looks_like_ecr
from webapp.credentials.minting import NotMinted, Source, Token
from webapp.credentials.parameters import EcrParameters
from webapp.registry.allowed import Origin, is_allowed
from webapp.registry.kinds import Kind
from webapp.vault import Secret
from webapp.vault.kms import word

if TYPE_CHECKING:
    from webapp.settings import Settings

_AT_ONCE = 8

_SESSION_NAME = "registry-credentials"
"""What AWS's own log calls the one who assumed a role."""

_ASK, _ASSUME, _OWN = "ecr:GetAuthorizationToken", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"
"""What AWS is asked; the last one is for the role of a pod, which this server may be in."""

# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html and the one of STS: the same error has several names.
_WRONG_KEY = frozenset(
    {
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
        "MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
    }
)  # fmt: skip
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "OptInRequired"})
_CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_LATER = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "TooManyRequestsException", "LimitExceededException", "RequestLimitExceeded", "ServiceUnavailable",
        "ServerException", "InternalFailure", "InternalError",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AwsEcr:
    """How this installation asks AWS. Without an endpoint it is the region's own that is asked."""

    own_role: bool
    allowed: frozenset[Origin]
    ecr_endpoint: str | None
    sts_endpoint: str | None

    @classmethod
    def of(cls, settings: "Settings") -> "AwsEcr":
        """As the settings say."""
        return cls(settings.aws_own_role, settings.allowed_registries, settings.aws_ecr_endpoint, settings.aws_sts_endpoint)

    async def mint(self, source: Source, value: Secret) -> Token:
        """A token for whom the source's parameters say; `value` is the secret access key. Raises NotMinted."""
        parameters = self._checked(source)
        return await asyncio.get_running_loop().run_in_executor(_threads(), partial(self._ask, parameters, value))

    def _checked(self, source: Source) -> EcrParameters:
        try:
            parameters = EcrParameters.read(source.parameters)
        except ValueError:
            parameters = EcrParameters("")
        if not is_region(parameters.region):
            raise NotMinted(Kind.UNREACHABLE, "What is stored of this credential names no region of AWS. Enter it again.", lasting=True)
        if not parameters.own_role:
            return parameters
        if not self.own_role:
            sentence = "This server's own role is switched off, so that no token is minted with it. Enter an access key,"
            raise NotMinted(Kind.MAY_NOT_PULL, f"{sentence} or let whoever runs this server set WEBAPP_AWS_OWN_ROLE to on.", lasting=True)
        if looks_like_ecr(source.host) is None and not is_allowed(source.host, self.allowed):
            # Otherwise whoever may edit a credential could have a token of the server's own sent to a host of theirs.
            sentence = f"{source.host} is no host of Amazon ECR, so that it is sent no token of this server's own role. Correct the"
            named = "or let whoever runs this server name it in WEBAPP_ALLOWED_REGISTRIES."
            raise NotMinted(Kind.MAY_NOT_PULL, f"{sentence} Registry URL, {named}", lasting=True)
        return parameters

    def _ask(self, parameters: EcrParameters, value: Secret) -> Token:
        """What runs in a thread."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  an optional extra
            from botocore.parsers import ResponseParserError  # noqa: PLC0415
        except ModuleNotFoundError:
            sentence = "Tokens of Amazon ECR need boto3 on this server. Run: pip install 'registry-credentials[aws]'"
            raise NotMinted(Kind.UNREACHABLE, sentence, lasting=True) from None
        action, where = _OWN, self._sts(parameters.region)
        try:
            session = new_session()
            keys = own_keys(session, where, parameters.region) if parameters.own_role else Keys(parameters.access_key_id, value)
            if parameters.role_arn:
                action = _ASSUME
                keys = _assumed(new_client(session, "sts", where, parameters.region, keys), parameters)
            action, where = _ASK, self._ecr(parameters.region)
            answer = new_client(session, "ecr", where, parameters.region, keys).get_authorization_token()
            return _token(answer)
        except ClientError as error:
            problem = _refusal(error, action, parameters)
        except BotoCoreError as error:
            problem = _failure(error, where)
        except (LookupError, ValueError, RuntimeError, ResponseParserError):  # RuntimeError: for a time that is in no calendar
            problem = NotMinted(Kind.UNREACHABLE, f"{where} does not answer as AWS would. Try again.", lasting=False)
        # Raised out here: the library's exceptions may quote what was sent.
        raise problem

    def _ecr(self, region: str) -> str:
        return self.ecr_endpoint or f"https://api.ecr.{region}.{domain_of(region)}"

    def _sts(self, region: str) -> str:
        return self.sts_endpoint or f"https://sts.{region}.{domain_of(region)}"


@cache
def _threads() -> ThreadPoolExecutor:
    # Of our own: AWS that does not answer must not keep the event loop's own threads from their work.
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="aws")


def _assumed(sts: Any, parameters: EcrParameters) -> Keys:
    asked = {"RoleArn": parameters.role_arn, "RoleSessionName": _SESSION_NAME}
    if parameters.external_id:
        asked["ExternalId"] = parameters.external_id
    keys = sts.assume_role(**asked)["Credentials"]
    return Keys(keys["AccessKeyId"], Secret(keys["SecretAccessKey"].encode()), Secret(keys["SessionToken"].encode()))


def _token(answer: dict[str, Any]) -> Token:
    """The token in AWS's answer, with the expiry that it *returned*. Raises ValueError."""
    try:
        data = answer["authorizationData"][0]
        username, colon, token = base64.b64decode(data["authorizationToken"], validate=True).decode("ascii").partition(":")
        expires_at: datetime = data["expiresAt"]
        right = username == ECR_USERNAME and colon and token.isprintable() and token
        at = int(expires_at.timestamp() * 1000)
    except (LookupError, TypeError, AttributeError, binascii.Error, OverflowError):
        right = ""
    if not right:
        raise ValueError("no token of ECR")
    return Token(Secret(token.encode("ascii")), at)


def _refusal(error: Any, action: str, parameters: EcrParameters) -> NotMinted:
    code = word(error.response.get("Error", {}).get("Code"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = str(error.response.get("Error", {}).get("Message"))
    if code in _CLOCK or said.startswith(("Signature expired", "Signature not yet current")):
        sentence = "AWS refuses what was signed by the clock of this server, which differs from AWS's own. Set the clock."
        return NotMinted(Kind.UNREACHABLE, sentence, lasting=False)
    if code in _WRONG_KEY:
        whose = "this server's own role" if parameters.own_role else f"the access key {parameters.access_key_id}"
        sentence = f"AWS does not take {whose} ({code}): it is wrong, deleted or switched off, or its secret is another one."
        return NotMinted(Kind.WRONG_CREDENTIALS, f"{sentence} Enter a key that is active.", lasting=True)
    if code in _REFUSED:
        if action == _OWN:
            help_ = "Let this server's own role trust the pod's service account."
        elif action == _ASSUME:
            help_ = f"Let the role {parameters.role_arn} trust it, with the same external id, and allow {_ASSUME} on it."
        else:
            help_ = f"Allow {_ASK} on every resource (*), as the policy AmazonEC2ContainerRegistryPullOnly does."
        return NotMinted(Kind.MAY_NOT_PULL, f"AWS refuses {action} ({code}). {help_}", lasting=True)
    if code == "RegionDisabledException":
        sentence = f"AWS STS is switched off in {parameters.region} for this account. Switch it on, or choose another region."
        return NotMinted(Kind.MAY_NOT_PULL, sentence, lasting=True)
    if code in _LATER or status == 429 or status >= 500:
        return NotMinted(Kind.UNREACHABLE, f"AWS cannot answer {action} now ({code}). Try again.", lasting=False)
    return NotMinted(Kind.UNREACHABLE, f"AWS refuses {action} ({code}). Check the region and the role.", lasting=True)


def _failure(error: Exception, where: str) -> NotMinted:
    from botocore.exceptions import ConnectionError as NoConnection  # noqa: PLC0415
    from botocore.exceptions import (  # noqa: PLC0415  an optional extra
        CredentialRetrievalError,
        HTTPClientError,
        MetadataRetrievalError,
        NoCredentialsError,
        ParamValidationError,
        SSLError,
    )

    name = word(type(error).__name__)
    if isinstance(error, SSLError):
        sentence = f"The certificate of {where} is not one to trust, so that it was not asked. Look who answers there."
        return NotMinted(Kind.TLS, sentence, lasting=False)
    if isinstance(error, (NoConnection, HTTPClientError)):
        sentence = f"{where} cannot be reached from here ({name}). Check the region, and whether this server may connect to it."
        return NotMinted(Kind.UNREACHABLE, sentence, lasting=False)
    if isinstance(error, NoCredentialsError):
        sentence = "This server has no role in AWS: there is none in its environment, its container or its instance."
        return NotMinted(Kind.WRONG_CREDENTIALS, f"{sentence} Enter an access key.", lasting=True)
    if isinstance(error, (CredentialRetrievalError, MetadataRetrievalError)):
        sentence = f"This server's own role in AWS cannot be had just now ({name}). Try again."
        return NotMinted(Kind.UNREACHABLE, sentence, lasting=False)
    if isinstance(error, ParamValidationError):
        sentence = "AWS cannot be asked with what is stored of this credential. Check the region, the role and the external id."
        return NotMinted(Kind.UNREACHABLE, sentence, lasting=True)
    return NotMinted(Kind.UNREACHABLE, f"AWS cannot be asked ({name}). Check the access key, the region and the role.", lasting=True)
