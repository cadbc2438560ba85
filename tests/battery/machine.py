"""What drives the store and its model together: the ground that the rules stand on, and the comparison of everything."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import ClassVar, TypeVar, cast

from hypothesis.stateful import RuleBasedStateMachine

from tests.battery.kept_open import Opened, loop, parts_of, template
from tests.battery.model import Model, refusal
from tests.personas import TestClock
from webapp.actor import Actor
from webapp.audit.verification import verify
from webapp.clock import SECOND
from webapp.errors import AppError
from webapp.names import key_of
from webapp.provisioning.provision import NotHandedOver
from webapp.provisioning.repository import RefusedToken
from webapp.store import Store

T = TypeVar("T")
UNKNOWN = "0" * 32
OFTEN = 12
"""Of `pick`: below it, what is there is picked."""
TABLES = ("registry_credentials", "secrets", "variables", "images", "agents")


class Machine(RuleBasedStateMachine):
    """A store and a model that are to stay alike. `outcomes` counts what was done in this process, and how it ended."""

    outcomes: ClassVar[Counter[tuple[str, str]]] = Counter()
    sequences = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = TestClock()
        self.clock.advance(SECOND)
        self.opened = Opened(self.clock)
        self.actor: Actor = template().alice.actor
        self.stranger: Actor = template().charlie.actor
        self.model = Model(rows=1)  # the template's bootstrap token
        self.parts = parts_of(self.opened.store)
        self.numbers = count(1)
        self.apart = False
        self.ids: dict[str, list[str]] = {table: [] for table in TABLES}
        Machine.sequences += 1

    @property
    def store(self) -> Store:
        """The store, as it is open now."""
        return self.opened.store

    def value(self) -> str:
        """A value that no other record ever had."""
        return f"value-{next(self.numbers)}"

    def pick(self, table: str, which: int) -> str:
        """An id: mostly of what is there, now and then of what was deleted, or of nothing."""
        live, ever = list(self.live(table)), self.ids[table]
        if which < OFTEN and live:
            return live[which % len(live)]
        return ever[which % len(ever)] if which > OFTEN and ever else UNKNOWN

    def live(self, table: str) -> Mapping[str, object]:
        """What there is in this table, as the model has it."""
        model = self.model
        tables = {"registry_credentials": model.credentials, "images": model.images, "agents": model.agents, **model.values}
        return cast(Mapping[str, object], tables[table])

    def run(self, work: Awaitable[T], expected: str, what: str) -> T | None:
        """Do it, and see that it ends as the model says; None when it was refused."""
        Machine.outcomes[what, expected] += 1
        result, error = loop().run(_ended(work))
        self.clock.advance(SECOND)
        self.apart = refusal(error) != expected
        assert not self.apart, f"{what}: the store says {refusal(error) or 'done'}, the model {expected or 'done'}"
        self.model.rows += expected == ""
        return result

    def compare(self) -> None:
        """Everything that can be listed, of both accounts, is in both alike."""
        found, expected = loop().run(_listed(self.store, self.actor)), self._expected()
        for name, rows in expected.items():
            assert found[name] == rows, f"{name}: the store lists {found[name]}, the model {rows}"
        strange = loop().run(_listed(self.store, self.stranger))
        assert not any(strange[name] for name in expected if name != "account"), f"another account sees {strange}"

    def _expected(self) -> dict[str, object]:
        model = self.model
        return {
            "credentials": sorted(
                (c.key, key, c.name, c.host, c.method, c.username, c.version, c.secret_version, c.updated_by, c.replaced_at,
                 model.images_with(key))
                for key, c in model.credentials.items()
            ),
            **{
                store: sorted(
                    (r.key, key, r.name, None if store == "secrets" else r.value, r.version, r.updated_by, r.replaced_at,
                     model.images_naming(store, key))
                    for key, r in records.items()
                )
                for store, records in model.values.items()
            },
            "images": sorted(
                (i.key, key, i.name, i.reference, i.host, i.credential, i.template, i.version, i.updated_by)
                for key, i in model.images.items()
            ),
            "agents": sorted((a.key, key, a.name, a.image, a.version, a.reenrol_until, a.revoked) for key, a in model.agents.items()),
            "account": (model.default, model.account_version),
        }  # fmt: skip

    def teardown(self) -> None:
        """All that is stored opens, the audit log is whole and has a row for each thing that was done."""
        try:
            if self.apart:
                return  # it was told
            self.compare()
            report = loop().run(self.store.check())
            assert report.ok, report.lines
            sealed = (f"registry credentials: {len(self.model.credentials)} open", f"secrets: {len(self.model.values['secrets'])} open")
            assert [line.partition(",")[0] for line in report.lines[:2]] == list(sealed)
            log = loop().run(verify(self.store.database, self.store.vault, lambda done, total: None))
            assert log.problems == ()
            assert log.rows == self.model.rows, f"the audit log has {log.rows} rows, the model {self.model.rows}"
        finally:
            self.opened.end()


async def _ended(work: Awaitable[T]) -> tuple[T | None, Exception | None]:
    try:
        return await work, None
    except (AppError, RefusedToken, NotHandedOver) as error:
        return None, error


async def _listed(store: Store, actor: Actor) -> dict[str, object]:
    account = await store.accounts.account(actor)
    agents = [*(await store.agents.page(actor)).records, *(await store.agents.page(actor, revoked=True)).records]
    return {
        "credentials": [
            (
                key_of(c.name),
                c.id,
                c.name,
                c.host,
                str(c.auth_method),
                c.username,
                c.version,
                c.secret_version,
                c.updated_by,
                c.replaced_at,
                c.images,
            )
            for c in (await store.credentials.page(actor)).records
        ],
        **{
            repository.kind.table: [
                (key_of(r.name), r.id, r.name, r.value, r.version, r.updated_by, r.replaced_at, r.images)
                for r in (await repository.page(actor)).records
            ]
            for repository in (store.secrets, store.variables)
        },
        "images": [
            (key_of(i.name), i.id, i.name, i.reference, i.host, i.credential_id, i.user_data, i.version, i.updated_by)
            for i in (await store.images.page(actor, kind="custom")).records
        ],
        "agents": sorted((key_of(a.name), a.id, a.name, a.image_id, a.version, a.reenrol_until, a.revoked_at is not None) for a in agents),
        "account": (account.default_image_id, account.version),
    }  # fmt: skip


def there_are(table: str) -> Callable[[Machine], bool]:
    """A rule's condition: something of this table is there."""
    return lambda machine: bool(machine.live(table))
