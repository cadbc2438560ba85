"""The check before a provision: `GET /api/v1/provision?check=1` for an agent, and the button on the image's page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope, Send

from webapp.actor import Actor
from webapp.chain import Event
from webapp.errors import Conflict
from webapp.images.image import Image
from webapp.images.repository import ImageRepository
from webapp.provisioning.check import Checks, Subject
from webapp.provisioning.provision import NotHandedOver
from webapp.provisioning.repository import RefusedToken, UnknownToken
from webapp.registry.outcomes import Checked
from webapp.vault import Token
from webapp.web.bearer import refuse_known, refuse_unknown, unverified_token
from webapp.web.denials import Denials
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render, wants_fragment
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up


async def answer_check(scope: Scope, send: Send) -> None:
    """Tell the agent whether what it would be handed works, with nothing secret in it; 409 when there would be nothing to hand over."""
    app, caller = scope["app"].state, scope["state"]
    checks: Checks = app.checks
    token = unverified_token(scope, "a")
    if token is None:
        refuse_unknown(app.denials, caller["address"])
    async with refusals(scope, token, "image.check"):
        subject, checked = await checks.for_agent(token, caller["address"], caller["request_id"])
    body = orjson.dumps(as_json(subject, checked))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def as_json(subject: Subject, checked: Checked) -> dict[str, Any]:
    """What a check found, as the agent API answers it."""
    found = {"works": checked.works, "kind": str(checked.kind), "detail": checked.sentence, "digest": checked.digest}
    return {"check": found, "image": {"name": subject.image_name, "reference": subject.reference}}


@asynccontextmanager
async def refusals(scope: Scope, token: Token, action: str) -> AsyncIterator[None]:
    """Turn what is raised about the token, and the Conflict in NotHandedOver, into answers that say no more than they should.

    Raises Unauthorised, TooMany, Conflict; written down under `action` where it is known who asks.
    """
    denials: Denials = scope["app"].state.denials
    caller = scope["state"]
    try:
        yield
    except UnknownToken:
        refuse_unknown(denials, caller["address"])
    except RefusedToken as refused:
        who = Actor(
            refused.account_id, "agent", refused.agent_id, refused.agent_name, token.accessor, caller["address"], caller["request_id"]
        )
        await refuse_known(denials, who, refused.reason)
    except NotHandedOver as refused:
        agent, code = refused.agent, refused.why.code
        await denials.known(agent, Event(action, "agent", agent.id, agent.label, decision="denied", detail=code))
        raise refused.why from None


async def check(request: Request) -> Response:
    """Check an image, and show what was found: in its place on the image's page, or on the whole page without script."""
    form = await read_form(request)
    repository: ImageRepository = request.app.state.images
    checks: Checks = request.app.state.checks
    image = await repository.get(actor(request), request.path_params["id"])
    # Where the check may move the pin of an image that agents are handed, it hands out something else than before.
    if image.pin_digest and await _is_handed_out(request, image) and (errors := await confirm(request, form)):
        return await _check_page(request, image, errors, status=422)
    try:
        await checks.for_member(actor(request), image.id)
    except Conflict as error:
        return await _check_page(request, image, {"": str(error)}, status=409)
    if not wants_fragment(request):
        return done(request, f"/images/{image.id}", "image-checked")
    return await _check_page(request, await repository.get(actor(request), image.id), {})


async def _check_page(request: Request, image: Image, errors: dict[str, str], *, status: int = 200) -> Response:
    repository: ImageRepository = request.app.state.images
    context = {
        "image": image,
        "checked": await repository.last_check(actor(request), image.id),
        "use": await repository.use(actor(request), image.id),
        "errors": {},
        "check_errors": errors,
        "asked": not errors,  # then the answer takes the focus, which the button had
        "step_up": step_up(request),
    }
    return render(request, "images/check.html", context, fragment="images/_check.html", status=status)


async def _is_handed_out(request: Request, image: Image) -> bool:
    repository: ImageRepository = request.app.state.images
    use = await repository.use(actor(request), image.id)
    return bool(use.agents) or use.is_default


ROUTES = [page("/images/{id}/check", check, needs=Permission.EDIT, name="image-check", methods=["POST"])]
