"""Members in the database: the first admin of an account, and those who follow."""

from dataclasses import replace

from webapp.accounts.account import name_from_email
from webapp.accounts.member import Email, Member, member_mac, parse_email
from webapp.accounts.password import check_new_password, hash_password
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, DuplicateKey, Row, Transaction
from webapp.errors import Conflict, Invalid, NotFound
from webapp.ids import new_id
from webapp.names import Name, key_of
from webapp.roles import Role
from webapp.vault import Secret, Vault


class MemberRepository:
    """The members of all accounts."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._is_set_up = False

    async def has_members(self) -> bool:
        """Whether somebody has been set up, so that the set-up link is of no use any more."""
        # Once there is one there always is: the last admin stays. So the sign-in page, which a flood of guesses asks for, reads nothing.
        self._is_set_up = self._is_set_up or await self._database.fetch_one("SELECT id FROM members LIMIT 1") is not None
        return self._is_set_up

    async def set_up(self, actor: Actor, account_name: Name, email: Email, password: Secret) -> Member:
        """Make the first account and its first admin.

        Raises NotFound when there is a member already, Invalid for a password that will not do.
        """
        password_hash = await hash_of_new(password, email)
        async with self._database.transaction() as transaction:
            if await transaction.fetch_one("SELECT id FROM members LIMIT 1") is not None:
                raise NotFound("There is no such address.")
            account_id = await self._add_account(transaction, actor, account_name)
            return await self.add(transaction, actor, account_id, email, "admin", password_hash)

    async def create_admin(self, actor: Actor, email: str, password: Secret, account_id: str = "") -> Member:
        """Make an admin of this account, or of the only one, which is made, and named after the email's domain, when there is none.

        Raises Invalid, also for an address that a member has; Conflict when there are several accounts and none is named.
        """
        parsed, password_hash = await _typed(email, password)
        try:
            async with self._database.transaction() as transaction:
                accounts = [] if account_id else await transaction.fetch_all("SELECT id FROM accounts LIMIT 2")
                if len(accounts) > 1:
                    raise Conflict("There are several accounts here, so it is not clear whose admin this would be.", "several-accounts")
                if accounts:
                    account_id = accounts[0]["id"]
                account_id = account_id or await self._add_account(transaction, actor, name_from_email(parsed.text))
                return await self.add(transaction, actor, account_id, parsed, "admin", password_hash)
        except DuplicateKey:
            raise Invalid({"email": taken(parsed)}) from None

    async def create_account(self, actor: Actor, name: Name, email: str, password: Secret) -> Member:
        """Make a further account and its first admin.

        Raises Invalid, also for an address that a member has and for a name that an account has: commands tell accounts by their names.
        """
        parsed, password_hash = await _typed(email, password)
        try:
            async with self._database.transaction() as transaction:
                for row in await transaction.fetch_all("SELECT id, name FROM accounts"):
                    if key_of(row["name"]) == name.key:
                        raise Invalid({"name": f"There is an account named {row['name']} already ({row['id']}). Choose another name."})
                account_id = await self._add_account(transaction, actor, name, "account.create")
                return await self.add(transaction, actor, account_id, parsed, "admin", password_hash)
        except DuplicateKey:
            raise Invalid({"email": taken(parsed)}) from None

    async def add(self, transaction: Transaction, actor: Actor, account_id: str, email: Email, role: Role, password_hash: str) -> Member:
        """Add a member in this transaction. Raises DuplicateKey for an address that a member of any account has."""
        member = Member(new_id(), account_id, email.text, role)
        event = Event("member.create", "member", member.id, member.email, detail=f"role: {role}")
        await self.insert(transaction, actor, member, password_hash, event)
        return member

    async def insert(
        self, transaction: Transaction | AccountTransaction, actor: Actor, member: Member, password_hash: str, event: Event
    ) -> None:
        """Add this very member in this transaction, with the event that says how they came. Raises DuplicateKey as `add` does."""
        row = {
            "id": member.id,
            "account_id": member.account_id,
            "email": member.email,
            "email_key": key_of(member.email),
            "role": member.role,
            "password_hash": password_hash,
        }
        await transaction.execute(
            "INSERT INTO members (id, account_id, email, email_key, role, password_hash, mac, version, created_at)"
            " VALUES (:id, :account_id, :email, :email_key, :role, :password_hash, :mac, 1, :now)",
            {**row, "mac": member_mac(self._vault, row), "now": self._clock()},
        )
        await self._chain.append(transaction, replace(actor, account_id=member.account_id), event)

    async def _add_account(self, transaction: Transaction, actor: Actor, name: Name, action: str = "account.set_up") -> str:
        account_id = new_id()
        await transaction.execute(
            "INSERT INTO accounts (id, name, version, created_at) VALUES (:id, :name, 1, :now)",
            {"id": account_id, "name": name.text, "now": self._clock()},
        )
        event = Event(action, "account", account_id, name.text)
        await self._chain.append(transaction, replace(actor, account_id=account_id), event)
        return account_id


def member_of(row: Row) -> Member:
    """The member of a row of the table."""
    return Member(row["id"], row["account_id"], row["email"], row["role"])


def taken(email: Email) -> str:
    """That a member has this address already, in words for whoever runs the server."""
    return f"There is a member with the address {email.text} already. Use another address."


async def _typed(email: str, password: Secret) -> tuple[Email, str]:
    """The address, and the hash of the password. Raises Invalid for one that will not do, Unavailable."""
    try:
        parsed = parse_email(email)
    except ValueError as error:
        raise Invalid({"email": str(error)}) from None
    return parsed, await hash_of_new(password, parsed)


async def hash_of_new(password: Secret, email: Email) -> str:
    """The hash of a new password. Raises Invalid for one that will not do, Unavailable."""
    try:
        check_new_password(password, email)
    except ValueError as error:
        raise Invalid({"password": str(error)}) from None
    return await hash_password(password)
