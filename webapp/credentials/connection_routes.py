"""Test connection, from the form of a registry credential: of a draft, or of the value that is stored."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.connection import ConnectionTests
from webapp.credentials.credential import Credential
from webapp.credentials.forms import LABELS, CredentialForm, parse
from webapp.credentials.page_forms import Tested, own_role, repository
from webapp.credentials.repository import refuse_collecting
from webapp.errors import Invalid
from webapp.names import parse_name
from webapp.reference import Reference, same_registry
from webapp.web.forms import Form, permit_again, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import render
from webapp.web.routing import page

DRAFT = "draft"
"""In place of a name that is missing or is none: a test does not need it."""


async def test_draft(request: Request) -> Response:
    """What becomes of a sign-in with what stands in the form for a new credential."""
    return await _answer(request, None)


async def test_stored(request: Request) -> Response:
    """The same for a credential that is stored: with a new value where one is entered, and with the images that use it."""
    return await _answer(request, await repository(request).get(actor(request), request.path_params["id"]))


async def _answer(request: Request, stored: Credential | None) -> Response:
    tested = await try_connection(request, await read_form(request), stored)
    context = {"tested": tested, "labels": LABELS}
    status = 422 if tested.errors else 200
    return render(request, "credentials/test_result.html", context, fragment="credentials/_test_result.html", status=status)


async def try_connection(request: Request, form: Form, stored: Credential | None) -> Tested:
    """Test what stands in the form. What is wrong with a field is said by field, and nothing is asked then.

    Raises what refuses a caller who may not do this any more.
    """
    typed = CredentialForm.read(form)
    parsed, errors = parse(form, replace(typed, name=DRAFT, description=""), new=stored is None, own_role=own_role(request))
    reference, problem = _reference(typed, None if parsed is None else parsed.fields.host)
    if problem:
        errors = {**errors, "test_image": problem}
    if parsed is not None and stored is not None:
        try:
            parsed = replace(parsed, secret=refuse_collecting(stored, parsed.fields, parsed.secret))
        except Invalid as error:
            errors = {**errors, **error.errors}
    if parsed is None or errors:
        return Tested(errors)
    tests: ConnectionTests = request.app.state.connection_tests
    fields = replace(parsed.fields, name=_name(typed))
    found = await tests.test(actor(request), fields, parsed.secret, stored=stored, image=reference)
    await permit_again(request)  # a registry may let it take half a minute, and what is stored then outlives who stored it
    return Tested(found=found, entered=bool(parsed.secret and parsed.secret.reveal()))


def _name(typed: CredentialForm) -> str:
    """What the audit log calls the draft: what no name may hold gets into it no more than into a list."""
    try:
        return parse_name(typed.name).text
    except ValueError:
        return DRAFT


def _reference(typed: CredentialForm, host: str | None) -> tuple[Reference | None, str]:
    """The image that was typed to test with, if any, and what is wrong with it."""
    text = typed.test_image.strip()
    if not text:
        return None, ""
    try:
        reference = Reference.parse(text)
    except ValueError as error:
        return None, str(error)
    if host is not None and not same_registry(reference.host, host):
        return None, f"The image is at {reference.host}, and the credential is for {host}. Enter an image of {host}."
    return reference, ""


DRAFT_ROUTES = [
    page("/registry-credentials/test", test_draft, needs=Permission.EDIT, name="registry-credential-test-draft", methods=["POST"]),
]
"""Before the routes of one credential, whose id `test` would be."""

ROUTES = [
    page("/registry-credentials/{id}/test", test_stored, needs=Permission.EDIT, name="registry-credential-test", methods=["POST"]),
]
