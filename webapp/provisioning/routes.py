"""The agent API's hand-over: `GET /api/v1/provision` and `POST /api/v1/provision/result`."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from webapp.errors import Invalid, Unavailable
from webapp.provisioning.answers import as_docker_config, as_json, encoded
from webapp.provisioning.check_routes import answer_check, refusals
from webapp.provisioning.provision import HandOver, Parts, provision
from webapp.provisioning.repository import ProvisionRepository
from webapp.provisioning.result import parse_result
from webapp.web.bearer import refuse_unknown, unverified_token
from webapp.web.direct import Asked
from webapp.web.json_body import read_json
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import bare, page

_FORMATS = {"": as_json, "json": as_json, "docker-config": as_docker_config}
_TRIED_AGAIN_WITHIN = 0.5
"""Seconds: a hand-over that could not be written is tried a second time, unless that would make its agent wait twice as long."""

_JSON = (b"content-type", b"application/json")


async def hand_over(scope: Scope, receive: Receive, send: Send) -> None:
    """Give the agent its image and the credential for it; 409 with a reason when there is nothing to give.

    A bare ASGI application: what every machine of a rack asks at once is worth the requests and responses that it does without.
    The token is looked at where the rest is read, in the batch that writes the audit row.
    """
    if _asks_for_a_check(scope["query_string"]):
        await answer_check(scope, send)
        return
    app, caller = scope["app"].state, scope["state"]
    answer = _FORMATS.get(_format(scope["query_string"]))
    if answer is None:
        raise Invalid({"format": "format: leave it out, or send json or docker-config."})
    token = unverified_token(scope, "a")
    if token is None:
        refuse_unknown(app.denials, caller["address"])
    async with refusals(scope, token, "registry_credential.release"):
        if (failed := caller.get("failed")) is not None:
            raise failed  # on the short way, after its row was written
        handed = await provision(token, caller["address"], caller["request_id"], app.parts, with_user_data=answer is as_json)
    body = encoded(answer(handed))
    headers = [_JSON, (b"content-length", str(len(body)).encode()), (b"provision-id", handed.id.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def hand_over_directly(asked: Asked, parts: Parts) -> None:
    """As `hand_over`, past ASGI, for what all the others ask: a JSON document that there is something to fill with.

    Whatever is wrong falls back on it, and is read, refused and written down there.
    """
    token = unverified_token(asked.scope, "a")
    if token is None:
        asked.fall_back()
        return
    hand_over = HandOver(token, asked.address, asked.request_id, parts)

    def done(error: Exception | None) -> None:
        if error is not None:
            waited_long = isinstance(error, Unavailable) and asked.waited > _TRIED_AGAIN_WITHIN
            asked.fall_back(error if waited_long else None)
            return
        try:
            handed = hand_over.release()
            body = encoded(as_json(handed))
        except Exception as failed:  # foreseen or not: there are words for it there, and a line in the log
            asked.fall_back(failed)
        else:
            asked.answer(body, name=b"provision-id", value=handed.id.encode(), accessor=token.accessor)

    parts.provisions.queue(token, hand_over.decide, done)


def _format(query: bytes) -> str:
    return parse_qs(query.decode("latin-1")).get("format", [""])[-1] if query else ""


def _asks_for_a_check(query: bytes) -> bool:
    if not query:
        return False
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("check")
    if asked is not None and asked[-1] != "1":
        raise Invalid({"check": "check: leave it out for the hand-over, or send 1 to have it checked."})
    return asked is not None


async def report(request: Request) -> Response:
    """Record what became of a hand-over. The same result twice is one."""
    result = parse_result(await read_json(request))
    repository: ProvisionRepository = request.app.state.provisions
    new = await repository.report(actor(request), result)
    return JSONResponse({"provision_id": result.provision_id, "outcome": result.outcome, "recorded": "now" if new else "before"})


PROVISION = "/api/v1/provision"

ROUTES = [
    bare(PROVISION, hand_over, needs=Permission.AGENT, name="provision"),
    page(f"{PROVISION}/result", report, needs=Permission.AGENT, name="provision-result", methods=["POST"]),
]
