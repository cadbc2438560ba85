"""Tokens of Amazon ECR: what is asked of AWS, by whom, and what is said when there is none."""

import base64
import json
import logging
import sys
from dataclasses import replace

import pytest

from tests.credentials.minting import ECR_HOST, KEY, ROLE, source
from tests.real.aws_ecr import ASSUME_ROLE, GET_TOKEN, HOUR, AwsEcr
from tests.real.aws_kms import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, use_no_others
from tests.real.process import free_port
from webapp.credentials import aws_ecr, aws_session
from webapp.credentials.ecr_host import looks_like_ecr
from webapp.credentials.minting import NotMinted, Token
from webapp.credentials.parameters import EcrParameters
from webapp.registry.allowed import parse_registries
from webapp.registry.kinds import Kind
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

VALUE = Secret(SECRET_ACCESS_KEY.encode())
OWN_ROLE = EcrParameters(REGION)
NOW = 1_793_714_700_000


def asking(ecr: AwsEcr, *, own_role: bool = False, allowed: str = "") -> aws_ecr.AwsEcr:
    return aws_ecr.AwsEcr(own_role, parse_registries(allowed), ecr.origin, ecr.origin)


async def minted(ecr: AwsEcr, parameters: EcrParameters = KEY, host: str = ECR_HOST, **more: object) -> Token:
    return await asking(ecr, **more).mint(source(parameters, host), VALUE)  # type: ignore[arg-type]


async def refusal(ecr: AwsEcr, parameters: EcrParameters = KEY, host: str = ECR_HOST, **more: object) -> NotMinted:
    """Why there is no token; the sentence carries neither the secret nor another exception along."""
    with pytest.raises(NotMinted) as caught:
        await minted(ecr, parameters, host, **more)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert SECRET_ACCESS_KEY not in caught.value.sentence
    return caught.value


async def test_the_key_signs_and_the_expiry_is_the_one_that_is_returned(ecr: AwsEcr) -> None:
    ecr.begin(lambda: NOW)
    token = await minted(ecr)
    assert token.value.reveal().decode() == ecr.tokens[0]
    assert token.expires_at == NOW + 12 * HOUR
    assert (ecr.signed_by, ecr.regions) == ([(GET_TOKEN, ACCESS_KEY_ID)], {REGION})
    assert ecr.asked == {GET_TOKEN: 1}


async def test_a_role_is_assumed_with_its_external_id_and_signs_instead(ecr: AwsEcr) -> None:
    await minted(ecr, replace(KEY, role_arn=ROLE, external_id="acme-42"))
    assert ecr.asked == {ASSUME_ROLE: 1, GET_TOKEN: 1}
    form = ecr.forms[0]
    assert (form["RoleArn"], form["ExternalId"], form["RoleSessionName"]) == (ROLE, "acme-42", "registry-credentials")
    (first, by_key), (second, by_role) = ecr.signed_by
    assert (first, by_key, second) == (ASSUME_ROLE, ACCESS_KEY_ID, GET_TOKEN)
    assert by_role.startswith("ASIA"), "a temporary key"


@pytest.mark.parametrize(
    ("action", "status", "code", "kind", "lasting", "words"),
    [
        (GET_TOKEN, 400, "UnrecognizedClientException", Kind.WRONG_CREDENTIALS, True, f"does not take the access key {ACCESS_KEY_ID}"),
        (GET_TOKEN, 400, "InvalidSignatureException", Kind.WRONG_CREDENTIALS, True, "its secret is another one"),
        (ASSUME_ROLE, 403, "InvalidClientTokenId", Kind.WRONG_CREDENTIALS, True, "(InvalidClientTokenId)"),
        (GET_TOKEN, 400, "AccessDeniedException", Kind.MAY_NOT_PULL, True, "refuses ecr:GetAuthorizationToken"),
        (ASSUME_ROLE, 403, "AccessDenied", Kind.MAY_NOT_PULL, True, f"refuses sts:AssumeRole (AccessDenied). Let the role {ROLE}"),
        (ASSUME_ROLE, 403, "RegionDisabledException", Kind.MAY_NOT_PULL, True, f"switched off in {REGION}"),
        (GET_TOKEN, 400, "RequestExpired", Kind.UNREACHABLE, False, "Set the clock"),
        (GET_TOKEN, 400, "InvalidParameterException", Kind.UNREACHABLE, True, "refuses ecr:GetAuthorizationToken (InvalidParameter"),
    ],
)
async def test_what_aws_refuses_is_told_apart(
    ecr: AwsEcr, action: str, status: int, code: str, kind: Kind, lasting: bool, words: str
) -> None:
    ecr.errors[action] = status, code
    why = await refusal(ecr, replace(KEY, role_arn=ROLE))
    assert (why.kind, why.lasting) == (kind, lasting)
    assert words in why.sentence
    assert ecr.asked[action] == 1, "what is refused is not asked again"


@pytest.mark.parametrize(("status", "code"), [(500, "ServerException"), (400, "ThrottlingException"), (503, "<script>")])
async def test_what_aws_cannot_do_now_is_tried_twice(ecr: AwsEcr, status: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's, between its tries
    ecr.errors[GET_TOKEN] = status, code
    why = await refusal(ecr)
    assert (why.kind, why.lasting, ecr.asked[GET_TOKEN]) == (Kind.UNREACHABLE, False, 2)
    assert "<" not in why.sentence


async def test_who_does_not_answer_is_not_waited_for(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_session, "SECONDS", 0.2)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ecr.hang.clear()
    why = await refusal(ecr)
    ecr.hang.set()
    assert (why.kind, why.lasting) == (Kind.UNREACHABLE, False)
    assert f"{ecr.origin} cannot be reached from here (ReadTimeoutError)" in why.sentence


async def test_where_nobody_listens_it_is_to_be_tried_again(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    nobody = AwsEcr(f"http://127.0.0.1:{free_port()}")
    why = await refusal(nobody)
    assert (why.kind, why.lasting) == (Kind.UNREACHABLE, False)
    assert "EndpointConnectionError" in why.sentence


async def test_who_speaks_no_tls_is_told_apart(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    why = await refusal(AwsEcr(ecr.origin.replace("http:", "https:")))
    assert (why.kind, why.lasting) == (Kind.TLS, False)


@pytest.mark.parametrize("ends", [1e20, -1e20, float("inf"), float("nan"), "soon", None, {}])
async def test_an_answer_with_an_expiry_that_is_none_is_no_answer(ecr: AwsEcr, ends: object, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"authorizationToken": base64.b64encode(b"AWS:token").decode(), "expiresAt": ends}
    monkeypatch.setattr(AwsEcr, "_token", lambda *_: json.dumps({"authorizationData": [data]}).encode())
    why = await refusal(ecr)
    assert (why.kind, why.lasting) == (Kind.UNREACHABLE, False)
    assert "does not answer as AWS would" in why.sentence


async def test_without_boto3_it_says_how_to_install_it(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    why = await refusal(ecr)
    assert why.lasting
    assert "pip install 'registry-credentials[aws]'" in why.sentence


@pytest.mark.parametrize("region", ["", "eu-central-1.evil.example", "eu_central", "eu-central-1/", "EU-CENTRAL-1"])
async def test_only_a_region_becomes_a_part_of_an_address(ecr: AwsEcr, region: str) -> None:
    assert "no region" in (await refusal(ecr, replace(KEY, region=region))).sentence
    assert not ecr.asked


def test_the_addresses_are_the_regions_own() -> None:
    asks = aws_ecr.AwsEcr(False, frozenset(), None, None)
    assert (asks._ecr("eu-central-1"), asks._sts("eu-central-1")) == (
        "https://api.ecr.eu-central-1.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com",
    )
    assert asks._ecr("cn-north-1") == "https://api.ecr.cn-north-1.amazonaws.com.cn"
    assert asks._sts("cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn"


async def test_the_servers_own_role_signs_where_it_is_switched_on(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    use_no_others(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHESERVERITSELF")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server-itself")
    await minted(ecr, OWN_ROLE, own_role=True)
    assert ecr.signed_by == [(GET_TOKEN, "AKIAOFTHESERVERITSELF")]
    why = await refusal(ecr, OWN_ROLE)
    assert (why.kind, why.lasting) == (Kind.MAY_NOT_PULL, True)
    assert "set WEBAPP_AWS_OWN_ROLE to on" in why.sentence


async def test_the_servers_own_token_goes_to_amazon_or_where_the_operator_says(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    use_no_others(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHESERVERITSELF")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server-itself")
    for host in ("registry.evil.example", f"{ECR_HOST}.evil.example", f"{ECR_HOST}:8443"):
        assert "is no host of Amazon ECR" in (await refusal(ecr, OWN_ROLE, host, own_role=True)).sentence
    assert not ecr.asked
    await minted(ecr, OWN_ROLE, "mirror.lan:5000", own_role=True, allowed="http://mirror.lan:5000")
    assert ecr.asked == {GET_TOKEN: 1}


async def test_a_pods_role_is_found_and_asked_for_where_we_say(
    ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    use_no_others(monkeypatch)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f"{tmp_path}/none")
    why = await refusal(ecr, OWN_ROLE, own_role=True)
    assert (why.kind, why.lasting) == (Kind.UNREACHABLE, False)
    with open(f"{tmp_path}/none", "w") as file:  # noqa: ASYNC230, PTH123
        file.write("the-pods-token")
    await minted(ecr, OWN_ROLE, own_role=True)
    assert ecr.asked == {"AssumeRoleWithWebIdentity": 1, GET_TOKEN: 1}
    assert [action for action, _ in ecr.signed_by] == [GET_TOKEN], "the first question is not signed"


async def test_without_a_role_it_says_where_it_was_looked_for(ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch) -> None:
    use_no_others(monkeypatch)
    why = await refusal(ecr, OWN_ROLE, own_role=True)
    assert (why.kind, why.lasting) == (Kind.WRONG_CREDENTIALS, True)
    assert "has no role in AWS" in why.sentence


async def test_at_debug_nothing_secret_is_logged(ecr: AwsEcr, caplog: pytest.LogCaptureFixture) -> None:
    from webapp.log import _TALKATIVE  # noqa: PLC0415

    assert {"botocore", "boto3", "urllib3", "google"} <= set(_TALKATIVE)
    with caplog.at_level(logging.DEBUG):
        for name in _TALKATIVE:  # as set_up_logging does
            caplog.set_level(logging.WARNING, name)
        await minted(ecr, replace(KEY, role_arn=ROLE))
    assert SECRET_ACCESS_KEY not in caplog.text
    assert ecr.tokens[0] not in caplog.text


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr-ecr.eu-central-1.on.aws", "eu-central-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.cn", None),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", None),
        ("123456789012.dkr.ecr.eu-central-1.evil.example", None),
        ("12345678901.dkr.ecr.eu-central-1.amazonaws.com", None),
        ("evil.example.123456789012.dkr.ecr.eu-central-1.amazonaws.com", None),
        ("public.ecr.aws", None),
    ],
)
def test_a_host_of_ecr_names_its_region(host: str, region: str | None) -> None:
    assert looks_like_ecr(host) == region
