"""What authenticators are asked, and what they answer, checked by the library `webauthn` (https://www.w3.org/TR/webauthn-3/).

The library is slow to import (0.4 s), so that happens when the first passkey is asked for: call these in a thread.
Nothing of an answer is quoted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from webapp.accounts.passkey import LONGEST_CREDENTIAL_ID, LONGEST_PUBLIC_KEY, Assertion, NewPasskey, Passkey
from webapp.errors import Invalid
from webapp.settings import Settings

RP_NAME = "Registry Credentials"

REFUSED = (
    "This passkey was not accepted: it is not known here, was removed, or was made for another address. Sign in another way; you can"
    " add it again under Your sign-in."
)
"""One sentence for all: it does not tell which passkeys there are."""

NOT_MADE = "The passkey could not be added: what the browser sent is not what was asked for. Begin again."

_TIMEOUT = 120_000
"""Milliseconds that the browser gives the person; a hint."""

_Answer = TypeVar("_Answer")


def creation_options(settings: Settings, member_id: str, email: str, challenge: str, existing: Sequence[Passkey]) -> str:
    """What `navigator.credentials.create()` is to be asked, as JSON (WebAuthn, section 5.4); the existing ones are not made again."""
    from webauthn import base64url_to_bytes, generate_registration_options, options_to_json  # noqa: PLC0415  slow; see the module
    from webauthn.helpers.structs import (  # noqa: PLC0415
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    return options_to_json(
        generate_registration_options(
            rp_id=_domain(settings),
            rp_name=RP_NAME,
            user_id=member_id.encode("ascii"),
            user_name=email,
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=_descriptors(existing),
        )
    )


def request_options(settings: Settings, challenge: str, allowed: Sequence[Passkey] = ()) -> str:
    """What `navigator.credentials.get()` is to be asked, as JSON (section 5.5); without `allowed` the person chooses one."""
    from webauthn import base64url_to_bytes, generate_authentication_options, options_to_json  # noqa: PLC0415  slow; see the module
    from webauthn.helpers.structs import UserVerificationRequirement  # noqa: PLC0415

    return options_to_json(
        generate_authentication_options(
            rp_id=_domain(settings),
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT,
            allow_credentials=_descriptors(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def made(settings: Settings, challenge: str, unverified: Mapping[str, Any]) -> NewPasskey:
    """The passkey that an authenticator has made (section 7.1). Raises Invalid."""
    from webauthn import base64url_to_bytes, verify_registration_response  # noqa: PLC0415  slow; see the module
    from webauthn.helpers import bytes_to_base64url, parse_registration_credential_json  # noqa: PLC0415

    def check() -> NewPasskey:
        credential = parse_registration_credential_json(dict(unverified))
        found = verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=_domain(settings),
            expected_origin=settings.public_url,
            require_user_verification=True,
        )
        if len(found.credential_id) > LONGEST_CREDENTIAL_ID or len(found.credential_public_key) > LONGEST_PUBLIC_KEY:
            raise ValueError("longer than any that there is")
        transports = tuple(sorted({transport.value for transport in credential.response.transports or ()}))
        return NewPasskey(
            bytes_to_base64url(found.credential_id),
            found.credential_public_key,
            found.sign_count,
            found.credential_backed_up,
            transports,
        )

    return _checked(check, NOT_MADE)


def signed(settings: Settings, challenge: str, unverified: Mapping[str, Any], *, public_key: bytes, member_id: str) -> Assertion:
    """What an authenticator has signed with the key of this member's passkey (section 7.2). Raises Invalid.

    The count of signatures is for the caller to compare: whether it went back is told apart from what is not signed at all.
    """
    from webauthn import base64url_to_bytes, verify_authentication_response  # noqa: PLC0415  slow; see the module
    from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json  # noqa: PLC0415

    def check() -> Assertion:
        credential = parse_authentication_credential_json(dict(unverified))
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=_domain(settings),
            expected_origin=settings.public_url,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
        if credential.response.user_handle not in (None, member_id.encode("ascii")):
            raise ValueError("another member's")
        return Assertion(bytes_to_base64url(found.credential_id), found.new_sign_count, found.credential_backed_up)

    return _checked(check, REFUSED)


def _checked(check: Callable[[], _Answer], sentence: str) -> _Answer:
    try:
        answer = check()
    except Exception:  # what the library and the parsers below it raise for nonsense is of many kinds, and may quote it
        answer = None
    if answer is None:  # raised out here, so that no context carries the answer along
        raise Invalid({"": sentence})
    return answer


def _domain(settings: Settings) -> str:
    if settings.passkey_domain is None:
        raise RuntimeError("there are no passkeys at an IP address")
    return settings.passkey_domain


def _descriptors(passkeys: Sequence[Passkey]) -> list[Any]:
    from webauthn import base64url_to_bytes  # noqa: PLC0415  slow; see the module
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor  # noqa: PLC0415

    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(passkey.credential_id),
            transports=[AuthenticatorTransport(transport) for transport in passkey.transports],
        )
        for passkey in passkeys
    ]
