"""The API of the registry credentials, for programs of members: the forms' rules, and no value ever comes back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.credentials.connection_routes import try_connection
from webapp.credentials.credential import VALUE_FIELDS, AuthMethod, Credential
from webapp.credentials.forms import CredentialForm, ParsedCredential, parse
from webapp.credentials.page_forms import Tested, own_role, repository
from webapp.credentials.repository import ORDERS
from webapp.errors import Conflict, Invalid, Stale
from webapp.web.addresses import wanted_page
from webapp.web.forms import Form
from webapp.web.json_answers import listed, made
from webapp.web.json_body import form_of, number_of, read_json, repeat_key
from webapp.web.permissions import Permission, may
from webapp.web.principal import actor
from webapp.web.problems import problem
from webapp.web.routing import page
from webapp.web.times import for_programs

_OF_METHOD = {
    AuthMethod.PASSWORD: ("username", "password"),
    AuthMethod.GCP_SERVICE_ACCOUNT_KEY: ("hand_over", "service_account_key"),
    AuthMethod.AWS_ECR: ("access_key_id", "secret_access_key", "aws_region", "role_arn", "external_id"),
}
_TEXTS = ("name", "description", "registry_url", "auth_method", *(name for names in _OF_METHOD.values() for name in names), "expires_on")
_TICKS = ("own_role", "store_anyway")

_OF_VALUE = {
    AuthMethod.PASSWORD: ("password", "username", "expires_on"),
    AuthMethod.GCP_SERVICE_ACCOUNT_KEY: ("service_account_key", "expires_on"),
    AuthMethod.AWS_ECR: ("secret_access_key", "access_key_id"),
}
"""What may come with a new value, its own field first."""

_READ_ONLY = (
    *("id", "images", "secret_version", "expires_at", "updated_at", "updated_by", "replaced_at", "replaced_by", "last_used_at"),
    *("last_pulled_at", "last_failed_at", "last_failure", "notes"),
)
"""What answers have beside the fields: it may be sent back with them, and says nothing then."""

_TRIES = 3
"""How often a value is replaced without a version while others change the credential at the same moment."""


async def list_credentials(request: Request) -> Response:
    """A page of the account's registry credentials, by name or in another one of their orders."""
    wanted = wanted_page(request)
    wanted = replace(wanted, order=wanted.order if wanted.order in ORDERS and not wanted.query else "")
    found = await repository(request).page(actor(request), wanted)
    return listed(request, "registry_credentials", wanted, found, lambda credential: _shown(request, credential))


async def show(request: Request) -> Response:
    """One registry credential."""
    return JSONResponse(_shown(request, await _stored(request)))


async def create(request: Request) -> Response:
    """Store a registry credential: 201, or 200 with the one that the same Idempotency-Key has made before."""
    form = form_of(await read_json(request), texts=_TEXTS, ticks=_TICKS)
    parsed = _parsed(request, form, new=True)
    if parsed.secret is None:
        raise RuntimeError("a new registry credential was parsed without its value")
    stored, is_new = await repository(request).add(actor(request), parsed.fields, parsed.secret, repeat_key(request))
    return made(request, _shown(request, stored, parsed.notes), new=is_new)


async def save(request: Request) -> Response:
    """Change a registry credential; its value stays when none is sent. 412 when it is not the `version` that was read."""
    body = await read_json(request)
    texts, ticks = (*_TEXTS, "keep_previous"), (*_TICKS, "only_if_works")
    form = form_of(body, texts=texts, ticks=ticks, others=("version", *_READ_ONLY))
    return await _save(request, await _stored(request), form, number_of(body, "version"))


async def replace_value(request: Request) -> Response:
    """Replace the value alone: what a job that rotates keys needs to know no more for. With a `version`, 412 when it is another one."""
    body = await read_json(request)
    for tries_left in reversed(range(_TRIES)):
        stored = await _stored(request)
        own, *_ = names = _OF_VALUE[stored.auth_method]
        ticks = ("store_anyway", "only_if_works")
        sent = form_of(body, texts=(*names, "keep_previous"), ticks=ticks, others=("version",))
        if sent.secret(own) is None:
            raise Invalid({own: f"{own}: missing. Send the new value of this credential, whose method is {stored.auth_method}."})
        version = number_of(body, "version") if body.get("version") is not None else None
        typed = {name: sent.text(name) for name in (*names, "keep_previous", *ticks) if sent.has(name)}
        form = Form({**CredentialForm.of(stored).by_field(), **typed}, {})
        try:
            # A date that comes with the value is that value's: a job that sends both again must not lose it.
            return await _save(request, stored, form, stored.version if version is None else version, dated=sent.has("expires_on"))
        except Stale:
            if version is not None or not tries_left:
                raise
    raise RuntimeError("the last try ends it")


async def delete(request: Request) -> Response:
    """Delete a registry credential that no image uses; 409 with the images while some do."""
    credential = await _stored(request)
    try:
        await repository(request).deletion.delete(actor(request), credential.id)
    except Conflict as error:
        images = await repository(request).images_using(actor(request), credential.id)
        using = {"images": [{"id": image_id, "name": name} for image_id, name in images]}
        return problem(request, 409, error.code, "This is not possible as things are", str(error), more=using)
    return Response(status_code=204)


async def _stored(request: Request) -> Credential:
    return await repository(request).get(actor(request), request.path_params["id"])


def _parsed(request: Request, form: Form, *, new: bool) -> ParsedCredential:
    parsed, errors = parse(form, CredentialForm.read(form), new=new, own_role=own_role(request))
    if parsed is None:
        raise Invalid(errors)
    return parsed


async def _save(request: Request, stored: Credential, form: Form, version: int, *, dated: bool = False) -> Response:
    parsed = _parsed(request, form, new=False)
    if form.text("only_if_works"):
        _refuse_untested(await try_connection(request, form, stored))
    saved = await repository(request).save(actor(request), stored.id, parsed.fields, parsed.secret, version, parsed.keep, dated=dated)
    return JSONResponse(_shown(request, saved, parsed.notes))


def _refuse_untested(tested: Tested) -> None:
    """Raise Invalid for what does not work, with what was found."""
    if tested.errors:
        raise Invalid(tested.errors)
    if tested.found is None or tested.found.works:
        return
    found = tested.found
    failed = [f"{tried.name}: {tried.verdict.sentence}" for tried in found.images if not tried.verdict.works]
    if not found.sign_in.works:
        failed.insert(0, found.sign_in.sentence)
    if found.untested:
        failed.append(f"{found.untested} more images use it and were not tested.")
    raise Invalid({"only_if_works": " ".join(["It does not work for every image, so the stored value stays.", *failed])})


def _shown(request: Request, credential: Credential, notes: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """What a program sees of a credential: the fields as it may send them again, and what is known of it."""
    fields = CredentialForm.of(credential).by_field()
    names = [name for name in _OF_METHOD[credential.auth_method] if name not in VALUE_FIELDS.values()]
    ticks = {"own_role": bool(fields["own_role"])} if credential.auth_method is AuthMethod.AWS_ECR else {}
    if not may(request.state.api_caller.role, Permission.EDIT):
        names = [name for name in names if name != "external_id"]  # the page shows it to nobody who may not change it, either
    return {
        "id": credential.id,
        **{name: fields[name] for name in ("name", "description", "registry_url", "auth_method", *names, "expires_on")},
        **ticks,
        "expires_at": for_programs(credential.expires_at),
        "images": credential.images,
        "version": credential.version,
        "secret_version": credential.secret_version,
        "updated_at": for_programs(credential.updated_at),
        "updated_by": credential.updated_by,
        "replaced_at": for_programs(credential.replaced_at),
        "replaced_by": credential.replaced_by,
        "last_used_at": for_programs(credential.last_used_at),
        "last_pulled_at": for_programs(credential.pulls.last_pulled_at),
        "last_failed_at": for_programs(credential.pulls.last_failed_at),
        "last_failure": None if credential.pulls.last_failed_at is None else credential.pulls.failure,
        "notes": list(notes),
    }


_LIST = "/api/v1/registry-credentials"

ROUTES = [
    page(_LIST, list_credentials, needs=Permission.SEE, name="api-registry-credentials"),
    page(_LIST, create, needs=Permission.EDIT, name="api-registry-credential-create", methods=["POST"]),
    page(f"{_LIST}/{{id}}", show, needs=Permission.SEE, name="api-registry-credential"),
    page(f"{_LIST}/{{id}}", save, needs=Permission.EDIT, name="api-registry-credential-save", methods=["PUT"]),
    page(f"{_LIST}/{{id}}/value", replace_value, needs=Permission.EDIT, name="api-registry-credential-replace", methods=["PUT"]),
    page(f"{_LIST}/{{id}}", delete, needs=Permission.EDIT, name="api-registry-credential-delete", methods=["DELETE"]),
]
