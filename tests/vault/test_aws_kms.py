"""AWS KMS as boto3 speaks with it: to a server that answers as AWS does, and to none."""

import logging
import secrets
import sys
from collections.abc import Callable

import pytest

from tests.real.aws_kms import REGION, SECRET_ACCESS_KEY, AwsKmsServer, use_no_others
from tests.real.process import free_port
from webapp.errors import ConfigurationError, Unavailable
from webapp.kms_key import AwsKmsKey
from webapp.log import set_up_logging
from webapp.vault import Secret
from webapp.vault.aws_kms import AwsKms
from webapp.vault.kms import WrappedKeyRefused

CONTEXT = {"installation": "one"}
ROOT = Secret(secrets.token_bytes(32))


def kms(aws: AwsKmsServer, arn: str) -> AwsKms:
    return AwsKms(AwsKmsKey(arn, REGION), aws.origin)


def said(kind: type[Exception], ask: Callable[[], object]) -> str:
    """The sentence of the error, and that it carries no other one along."""
    with pytest.raises(kind) as caught:
        ask()
    assert caught.type is kind
    assert caught.value.__cause__ is caught.value.__context__ is None or caught.value.__suppress_context__
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1
    assert SECRET_ACCESS_KEY not in sentence
    return sentence


def test_what_it_wraps_it_unwraps_in_the_same_context_only(aws: AwsKmsServer) -> None:
    key = kms(aws, aws.new_key())
    wrapped = key.wrap(ROOT, CONTEXT)
    assert ROOT.reveal() not in wrapped
    assert key.unwrap(wrapped, CONTEXT) == ROOT
    for context in ({"installation": "two"}, {}):
        with pytest.raises(WrappedKeyRefused, match="was asked to unwrap the root key, and it refuses what the database holds"):
            key.unwrap(wrapped, context)


def test_what_was_changed_or_is_another_keys_is_refused(aws: AwsKmsServer) -> None:
    key = kms(aws, aws.new_key())
    wrapped = key.wrap(ROOT, CONTEXT)
    for blob in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"short", wrapped[:40]):
        with pytest.raises(WrappedKeyRefused):
            key.unwrap(blob, CONTEXT)
    another = kms(aws, aws.new_key()).wrap(ROOT, CONTEXT)
    assert "it refuses (AccessDeniedException)" in said(ConfigurationError, lambda: key.unwrap(another, CONTEXT))


def test_a_key_that_is_not_there_is_named(aws: AwsKmsServer) -> None:
    arn = f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"
    sentence = said(ConfigurationError, lambda: kms(aws, arn).wrap(ROOT, CONTEXT))
    assert sentence == f"WEBAPP_ROOT_KEY: aws-kms:{arn} was asked to wrap the root key, and it refuses (NotFoundException)."


def test_where_nobody_listens_it_is_to_be_tried_again(aws: AwsKmsServer) -> None:
    nobody = AwsKmsServer(f"http://127.0.0.1:{free_port()}")
    sentence = said(Unavailable, lambda: kms(nobody, aws.new_key()).wrap(ROOT, CONTEXT))
    assert f"{nobody.origin} cannot be reached (EndpointConnectionError)" in sentence


def test_without_credentials_it_says_where_boto3_looks(aws: AwsKmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use_no_others(monkeypatch)
    assert "boto3 finds no AWS credentials" in said(ConfigurationError, lambda: kms(aws, aws.new_key()).wrap(ROOT, CONTEXT))


def test_without_boto3_it_says_how_to_install_it(aws: AwsKmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "boto3"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", None)
    sentence = said(ConfigurationError, lambda: kms(aws, "any"))
    assert sentence == "WEBAPP_ROOT_KEY: aws-kms needs boto3. Run: pip install 'registry-credentials[aws]'"


def test_a_profile_that_is_not_there_is_a_wrong_setting(aws: AwsKmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert "boto3 cannot be set up" in said(ConfigurationError, lambda: kms(aws, "any"))


def test_an_address_without_tls_that_boto3_was_told_is_refused(aws: AwsKmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.com")
    assert "without TLS" in said(ConfigurationError, lambda: AwsKms(AwsKmsKey("any", REGION), None))


def test_at_debug_the_library_logs_nothing_of_the_root_key(
    aws: AwsKmsServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ours = logging.getLogger(), logging.getLogger("webapp")
    before = (root.handlers[:], root.level, ours.level, sys.excepthook)
    try:
        set_up_logging("debug")
        root.setLevel(logging.DEBUG)  # as somebody who debugs would
        key = kms(aws, aws.new_key())
        key.unwrap(key.wrap(ROOT, CONTEXT), CONTEXT)
        assert "Plaintext" not in capsys.readouterr().err
        assert logging.getLogger("botocore").getEffectiveLevel() == logging.WARNING
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], sys.excepthook = before[0], before[3]
        root.setLevel(before[1])
        ours.setLevel(before[2])
