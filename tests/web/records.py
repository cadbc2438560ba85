"""Records of alice's account for the addresses of the matrix: made as people and agents make them, each under a name of its own.

`{agent}` in an address is what `agent` here returns. A new kind of record is one function with the names of the matrix.
"""

import itertools
from collections.abc import Awaitable, Callable

import httpx2

from tests.personas import House, Persona
from tests.stories import api_token, bearer, bootstrap_token, enrolled
from webapp.accounts.identity import identity_mac
from webapp.accounts.passkey import NewPasskey
from webapp.ids import new_id
from webapp.names import parse_name
from webapp.nonce import new_nonce

_numbers = itertools.count(1)


class Records:
    """What stands in alice's account, or in that of another `persona`, and how more of it is made."""

    def __init__(self, house: House, agent_token: str, persona: Persona | None = None) -> None:
        self.house = house
        self.persona = persona or house.alice
        self._agent_token = agent_token
        self._standing: dict[tuple[str, ...], dict[str, str]] = {}

    async def standing(self, names: tuple[str, ...]) -> dict[str, str]:
        """The ids of records that nothing but what is refused is done to, and of which each is made once."""
        if names not in self._standing:
            self._standing[names] = await self.fresh(names)
        return self._standing[names]

    async def fresh(self, names: tuple[str, ...]) -> dict[str, str]:
        """The ids of records of these names that nobody knows yet."""
        self._number = next(_numbers)
        self.alice = await self.house.signed_in(self.persona)  # anew: some lines end all other sessions
        found = {"number": str(self._number)}
        for name in names:
            if name not in found:
                found[name] = await MAKERS[name](self)
        return found

    async def post(self, address: str, **form: str) -> httpx2.Response:
        """Send a form as alice does, who may."""
        answer = await self.alice.post(address, data=form)
        assert answer.status_code in {200, 303}, f"{address}: {answer.status_code} {answer.text}"
        return answer

    async def id_of(self, table: str, name: str) -> str:
        """The id of the record of this name."""
        row = await self.house.store.database.fetch_one(f"SELECT id FROM {table} WHERE name = :name", {"name": name})
        assert row is not None
        return str(row["id"])

    async def credential(self) -> str:
        """A registry credential with a value that was replaced, and is kept: its version is 2."""
        name = f"credential-{self._number}"
        form = {"name": name, "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}
        await self.post("/registry-credentials", **form, password="hunter2-but-long")
        found = await self.id_of("registry_credentials", name)
        await self.post(f"/registry-credentials/{found}", **form, password="hunter3-but-long", version="1")
        return found

    async def version(self) -> str:
        """The number of the value that the credential had first."""
        return "1"

    async def secret(self) -> str:
        """A secret."""
        await self.post("/secrets", name=f"SECRET_{self._number}", value="hunter2-but-long")
        return await self.id_of("secrets", f"SECRET_{self._number}")

    async def variable(self) -> str:
        """A variable."""
        await self.post("/variables", name=f"VARIABLE_{self._number}", value="a value")
        return await self.id_of("variables", f"VARIABLE_{self._number}")

    async def secrets_import(self) -> str:
        """A .env file that waits to be imported into the secrets."""
        return await self._import("/secrets/import")

    async def variables_import(self) -> str:
        """The same for the variables."""
        return await self._import("/variables/import")

    async def _import(self, path: str) -> str:
        answer = await self.post(path, env=f"IMPORTED_{self._number}=a value")
        return answer.text.partition(f'action="{path}/')[2].partition('"')[0]

    async def image(self) -> str:
        """An image of a registry that nobody asks: no server may be asked at a loopback address."""
        await self.post("/images", name=f"image-{self._number}", docker_image_url="127.0.0.1:1/acme/ubuntu:24.04")
        return await self.id_of("images", f"image-{self._number}")

    async def bootstrap_token(self) -> str:
        """A bootstrap token's id."""
        accessor = (await bootstrap_token(self.alice)).split("_")[2]
        row = await self.house.store.database.fetch_one("SELECT id FROM bootstrap_tokens WHERE accessor = :it", {"it": accessor})
        assert row is not None
        return str(row["id"])

    async def agent(self) -> str:
        """An agent."""
        return (await enrolled(self.house, self.alice, f"agent-{self._number}"))[0]

    async def api_token(self) -> str:
        """An API token of alice's: its id."""
        accessor = (await api_token(self.alice, name=f"token-{self._number}")).split("_")[2]
        row = await self.house.store.database.fetch_one("SELECT id FROM api_tokens WHERE accessor = :it", {"it": accessor})
        assert row is not None
        return str(row["id"])

    async def invitation(self) -> str:
        """An invitation that nobody has accepted: its id."""
        await self.post("/settings/members/invitations", email=f"invited-{self._number}@example.com", role="editor")
        row = await self.house.store.database.fetch_one(
            "SELECT id FROM invitations WHERE email = :it", {"it": f"invited-{self._number}@example.com"}
        )
        assert row is not None
        return str(row["id"])

    async def member(self) -> str:
        """Another member of the account, an editor."""
        member = Persona(f"member-{self._number}", "editor", self.persona.account_id, self.persona.account_name)
        await self.house.move_in(member)
        return member.member_id

    async def passkey(self) -> str:
        """A passkey of alice's, of an authenticator that nobody has."""
        made = NewPasskey(f"credential-{self._number}", b"no key", 0, synced=False, transports=())
        name = parse_name(f"passkey-{self._number}")
        return (await self.house.store.passkeys.add(self.persona.actor, name, made, new_nonce())).id

    async def identity(self) -> str:
        """A link of alice's to a person of an issuer of before."""
        row: dict[str, object] = {
            "id": new_id(),
            "member_id": self.persona.member_id,
            "issuer": f"https://issuer-{self._number}",
            "subject": "a",
        }
        row["mac"] = identity_mac(self.house.store.vault, {**row, "account_id": self.persona.account_id})
        async with self.house.store.database.account(self.persona.account_id).transaction() as transaction:
            await transaction.insert("identities", {**row, "created_at": self.house.clock()})
        return str(row["id"])

    async def session(self) -> str:
        """A session of alice's in another browser: its accessor."""
        return str((await self.house.signed_in(self.persona)).cookies["session"]).split("_")[2]

    async def provision(self) -> str:
        """A hand-over to the agent of the matrix."""
        client = await self.house.client()
        answer = await client.get("/api/v1/provision", headers=bearer(self._agent_token))
        assert answer.status_code == 200, answer.text
        return answer.headers["provision-id"]


MAKERS: dict[str, Callable[[Records], Awaitable[str]]] = {
    name: maker for name, maker in vars(Records).items() if not name.startswith("_") and name not in {"standing", "fresh", "post", "id_of"}
}
"""How a record of each name is made."""
