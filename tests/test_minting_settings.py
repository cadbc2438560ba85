"""The settings of tokens that are minted."""

import pytest

from tests.test_settings import refusal
from webapp.settings import Settings

ENDPOINTS = ("WEBAPP_AWS_ECR_ENDPOINT", "WEBAPP_AWS_STS_ENDPOINT", "WEBAPP_GOOGLE_TOKEN_ENDPOINT")


def test_without_any_it_is_amazon_and_google_and_nobody_uses_this_servers_role() -> None:
    settings = Settings.from_environ({})
    assert (settings.aws_ecr_endpoint, settings.aws_sts_endpoint, settings.google_token_endpoint) == (None, None, None)
    assert settings.aws_own_role is False


def test_the_operator_may_name_others() -> None:
    settings = Settings.from_environ(dict.fromkeys(ENDPOINTS, "https://vpce-0123.api.ecr.eu-central-1.vpce.amazonaws.com/"))
    endpoints = {settings.aws_ecr_endpoint, settings.aws_sts_endpoint, settings.google_token_endpoint}
    assert endpoints == {"https://vpce-0123.api.ecr.eu-central-1.vpce.amazonaws.com"}
    assert Settings.from_environ({"WEBAPP_AWS_OWN_ROLE": "On"}).aws_own_role is True
    assert Settings.from_environ({"WEBAPP_AWS_OWN_ROLE": "off"}).aws_own_role is False


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("text", ["http://ecr.example.com", "https://ana:hunter2@ecr.example.com", "https://ecr.example.com/token", "ecr"])
def test_it_refuses_what_is_no_address_of_a_service(name: str, text: str) -> None:
    line = refusal(**{name: text})
    assert line.startswith(f"{name}: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("text", ["yes", "true", "1", "on off"])
def test_it_refuses_what_is_neither_on_nor_off(text: str) -> None:
    assert refusal(WEBAPP_AWS_OWN_ROLE=text) == f"WEBAPP_AWS_OWN_ROLE: {text!r} is neither. Write on or off."
