"""The words for a key of a KMS: what they name, and what is refused before anything is asked."""

import pytest

from webapp.kms_key import AwsKmsKey, TransitKey, is_kms_key, parse_root_key, parse_service

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize("arn", [ARN, "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"])
def test_an_arn_names_a_key_and_its_region(arn: str) -> None:
    key = parse_root_key(f"aws-kms:{arn}")
    assert key == AwsKmsKey(arn, arn.split(":")[3])
    assert str(key) == f"aws-kms:{arn}"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("https://vault.example.com:8200/transit/root", TransitKey("https://vault.example.com:8200", "transit", "root")),
        ("https://Vault.example.com/team/a/transit/rc.1", TransitKey("https://vault.example.com", "team/a/transit", "rc.1")),
        ("http://127.0.0.1:8200/transit/root", TransitKey("http://127.0.0.1:8200", "transit", "root")),
        ("https://[::1]:8200/transit/root", TransitKey("https://[::1]:8200", "transit", "root")),
    ],
)
def test_an_address_names_a_transit_key(text: str, key: TransitKey) -> None:
    assert parse_root_key(f"transit:{text}") == key
    assert parse_root_key(str(key)) == key


def test_a_file_is_no_key_of_a_kms() -> None:
    assert parse_root_key("file") is None
    assert not any(is_kms_key(path) for path in ("/etc/keys/root.key", "./aws-kms:x", "transit", "file"))
    assert is_kms_key("transit:hunter2"), "a slip in the words is no file"


@pytest.mark.parametrize(
    "text",
    [
        "vault",
        "file:/etc/keys/root.key",
        "aws-kms:",
        "aws-kms:alias/root",
        "aws-kms:arn:aws:kms:eu-central-1:111122223333:alias/root",
        "aws-kms:arn:aws:s3:eu-central-1:111122223333:key/1234abcd",
        f"aws-kms:{ARN}/x",
        f"aws-kms:{ARN}\n",
        "transit:vault.example.com/transit/root",
        "transit:https://vault.example.com",
        "transit:https://vault.example.com/root",
        "transit:https://vault.example.com/transit/",
        "transit:https://vault.example.com/v1/transit/root",
        "transit:https://vault.example.com/transit/../root",
        "transit:https://vault.example.com/transit/ro%6ft",
        "transit:https://vault.example.com/transit/root?x=hunter2",
        "transit:https://ana:hunter2@vault.example.com/transit/root",
        "transit:https://vault.example.com:port/transit/root",
        "transit:http://vault.example.com/transit/root",
        "transit:ftp://127.0.0.1/transit/root",
    ],
)
def test_it_refuses_what_names_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|http://) .*\.$") as caught:
        parse_root_key(text)
    assert "hunter2" not in str(caught.value)


def test_a_service_has_no_path_and_is_asked_over_tls() -> None:
    assert parse_service("https://kms.example.com/") == "https://kms.example.com"
    assert parse_service("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    for text in ("http://kms.example.com", "https://kms.example.com/kms", "kms.example.com", "https://ana:hunter2@kms.example.com"):
        with pytest.raises(ValueError, match=r"^(it|http://) ") as caught:
            parse_service(text)
        assert "hunter2" not in str(caught.value)
