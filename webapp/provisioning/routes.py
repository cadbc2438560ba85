"""The agent API's hand-over: `GET /api/v1/provision` and `POST /api/v1/provision/result`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.chain import Event
from webapp.errors import Conflict, Invalid
from webapp.images.user_data import Store
from webapp.provisioning.provision import as_docker_config, as_json, encoded, provision
from webapp.provisioning.repository import ProvisionRepository
from webapp.provisioning.result import parse_result
from webapp.secrets.repository import NamedValueRepository
from webapp.web.json_body import read_json
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import page

_FORMATS = {"": as_json, "json": as_json, "docker-config": as_docker_config}


def _repository(request: Request) -> ProvisionRepository:
    found: ProvisionRepository = request.app.state.provisions
    return found


async def hand_over(request: Request) -> Response:
    """Give the agent its image and the credential for it; 409 with a reason when there is nothing to give."""
    answer = _FORMATS.get(request.query_params.get("format", ""))
    if answer is None:
        raise Invalid({"format": "format: leave it out, or send json or docker-config."})
    agent, state = actor(request), request.app.state
    values: dict[Store, NamedValueRepository] = {"secrets": state.secrets, "variables": state.variables}
    try:
        handed = await provision(agent, _repository(request), values, state.chain, state.vault, state.clock)
    except Conflict as error:
        await state.denials.known(
            agent, Event("registry_credential.release", "agent", agent.id, agent.label, decision="denied", detail=error.code)
        )
        raise
    return Response(encoded(answer(handed)), media_type="application/json", headers={"Provision-Id": handed.id})


async def report(request: Request) -> Response:
    """Record what became of a hand-over. The same result twice is one."""
    result = parse_result(await read_json(request))
    new = await _repository(request).report(actor(request), result)
    return JSONResponse({"provision_id": result.provision_id, "outcome": result.outcome, "recorded": "now" if new else "before"})


ROUTES = [
    page("/api/v1/provision", hand_over, needs=Permission.AGENT, name="provision"),
    page("/api/v1/provision/result", report, needs=Permission.AGENT, name="provision-result", methods=["POST"]),
]
