"""The store as plain dictionaries: what a reader of the rules would expect of it, said once more and without a database.

Each function returns how it ends, as `refusal` says it of the real one: "" for done, or a word and what it is about. What is refused
changes nothing.
"""

from dataclasses import dataclass, field

from webapp.clock import HOUR
from webapp.errors import Conflict, Invalid
from webapp.provisioning.provision import NotHandedOver

DOCKER_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io"}

TEMPLATES: dict[str | None, tuple[tuple[str, str], ...]] = {
    None: (),
    "hostname: rack1\n": (),
    "a={{ secrets.TOKEN }}": (("secrets", "TOKEN"),),
    "b={{ variables.stage }};{{ secrets.DB }}": (("variables", "stage"), ("secrets", "DB")),
    "c={{ variables.TOKEN }}{{ variables.TOKEN }}": (("variables", "TOKEN"),),
}
"""Templates of user data, and what each refers to."""


def refusal(error: Exception | None) -> str:
    """How something ended, in a word."""
    if isinstance(error, NotHandedOver):
        return f"NotHandedOver {error.why.code}"
    if isinstance(error, Invalid):
        return f"Invalid {' '.join(sorted(error.errors))}"
    if isinstance(error, Conflict):
        return f"Conflict {error.code}"
    return "" if error is None else type(error).__name__


def same_registry(one: str, other: str) -> bool:
    """Whether two hosts are one registry."""
    return one == other or {one, other} <= DOCKER_HUB


@dataclass
class Record:
    """What every named record has. `value` is the secret, or a variable's text."""

    name: str
    key: str
    version: int = 1
    updated_by: str = ""
    replaced_at: int = 0
    value: str = ""
    secret_version: int = 1


@dataclass
class Kept:
    """A value that a registry credential had, until it is destroyed."""

    host: str
    method: str
    username: str
    value: str
    until: int


@dataclass
class Credential(Record):
    """A registry credential; `kept` are the values that it had, by their versions."""

    host: str = ""
    method: str = "password"
    username: str = ""
    newest: int = 1
    kept: dict[int, Kept] = field(default_factory=dict)

    def keep(self, now: int) -> int:
        """Keep the value that it has for an hour; how many others go for it: five stay."""
        self.kept[self.secret_version] = Kept(self.host, self.method, self.username, self.value, now + HOUR)
        alive = sorted(number for number, kept in self.kept.items() if kept.until > now)
        for number in alive[:-5]:
            del self.kept[number]
        return len(alive[:-5])


@dataclass
class Image(Record):
    """An image."""

    reference: str = ""
    host: str = ""
    credential: str | None = None
    template: str | None = None


@dataclass
class Agent(Record):
    """An agent: `used` is whether its token ever was."""

    image: str | None = None
    used: bool = False
    token: str = ""
    revoked: bool = False
    reenrol_until: int | None = None


@dataclass
class Model:
    """One account. Records are under their ids."""

    credentials: dict[str, Credential] = field(default_factory=dict)
    values: dict[str, dict[str, Record]] = field(default_factory=lambda: {"secrets": {}, "variables": {}})
    images: dict[str, Image] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Whose each agent token is or was: the agent's id."""
    default: str | None = None
    account_version: int = 1
    rows: int = 0
    """Of the audit log."""

    def images_with(self, credential: str) -> int:
        """How many images use this credential."""
        return sum(image.credential == credential for image in self.images.values())

    def images_naming(self, store: str, record: str) -> int:
        """How many images refer to this value."""
        named = self.values[store].get(record)
        return sum(named is not None and (store, named.name) in TEMPLATES[image.template] for image in self.images.values())

    def find(self, store: str, name: str) -> Record | None:
        """The value with exactly this name."""
        return next((record for record in self.values[store].values() if record.name == name), None)

    def save_credential(self, key: str, new: Credential, value: str | None, edited: int | None) -> str:
        """Whether it may be changed so."""
        stored = self.credentials.get(key)
        if stored is None:
            return "NotFound"
        if edited is not None and edited != stored.version:
            return "Stale"
        if value is None and (new.method, new.host) != (stored.method, stored.host):
            return "Invalid password" if new.method == "password" else "Invalid service_account_key"
        if self.images_with(key) and not same_registry(stored.host, new.host):
            return "Invalid registry_url"
        return "Invalid name" if taken(self.credentials, new.key, key) else ""

    def roll_back(self, key: str, number: int, now: int) -> str:
        """Whether it may be rolled back to this version."""
        stored = self.credentials.get(key)
        if stored is None or number not in stored.kept or stored.kept[number].until <= now:
            return "NotFound"
        elsewhere = self.images_with(key) and not same_registry(stored.host, stored.kept[number].host)
        return "Conflict images-elsewhere" if elsewhere else ""

    def delete_credential(self, key: str) -> str:
        """Delete it."""
        if key not in self.credentials:
            return "NotFound"
        if self.images_with(key):
            return "Conflict registry-credential-in-use"
        del self.credentials[key]
        return ""

    def replace_and_delete_credential(self, key: str, replacement: str, who: str) -> tuple[str, int]:
        """Delete it, and have its images use another one; how many they were."""
        moved = [image for image in self.images.values() if image.credential == key]
        if key in self.credentials and moved:
            other = None if replacement == key else self.credentials.get(replacement)
            if other is None or not same_registry(other.host, self.credentials[key].host):
                return "Invalid replacement", 0
            for image in moved:
                image.credential, image.version, image.updated_by = replacement, image.version + 1, who
        return self.delete_credential(key), len(moved)

    def save_value(self, store: str, key: str, name: str, name_key: str, edited: int | None) -> str:
        """Whether it may be changed so."""
        stored = self.values[store].get(key)
        if stored is None:
            return "NotFound"
        if edited is not None and edited != stored.version:
            return "Stale"
        if name != stored.name and self.images_naming(store, key):
            return "Invalid name"
        return "Invalid name" if taken(self.values[store], name_key, key) else ""

    def delete_value(self, store: str, key: str) -> str:
        """Delete it."""
        if key not in self.values[store]:
            return "NotFound"
        if self.images_naming(store, key):
            return f"Conflict {store.removesuffix('s')}-in-use"
        del self.values[store][key]
        return ""

    def save_image(self, key: str, new: Image, edited: int | None) -> str:
        """Whether it may be made ("" as its key) or changed so."""
        stored = self.images.get(key)
        if key and stored is None:
            return "NotFound"
        if stored is not None and edited is not None and edited != stored.version:
            return "Stale"
        wrong = ["name"] if taken(self.images, new.key, key) else []
        if new.credential is not None:
            credential = self.credentials.get(new.credential)
            if credential is None or not same_registry(credential.host, new.host):
                wrong.append("registry_credential_id")
        if any(self.find(store, name) is None for store, name in TEMPLATES[new.template]):
            wrong.append("user_data")
        return f"Invalid {' '.join(sorted(wrong))}" if wrong else ""

    def delete_image(self, key: str) -> str:
        """Delete it."""
        if key not in self.images:
            return "NotFound"
        if key == self.default or any(agent.image == key and not agent.revoked for agent in self.agents.values()):
            return "Conflict image-in-use"
        del self.images[key]
        for agent in self.agents.values():
            agent.image = None if agent.image == key else agent.image
        return ""

    def assign(self, key: str, image: str | None, edited: int | None) -> str:
        """Choose an agent's image; "same" when it was chosen before."""
        agent = self.agents.get(key)
        if agent is None:
            return "NotFound"
        if agent.revoked:
            return "Conflict agent-revoked"
        if edited is not None and edited != agent.version:
            return "Stale"
        if image == agent.image:
            return "same"
        if image is not None and image not in self.images:
            return "Invalid image_id"
        agent.image, agent.version = image, agent.version + 1
        return ""

    def choose_default(self, image: str | None, edited: int | None) -> str:
        """Choose the account's default image; "same" when it was chosen before."""
        if edited is not None and edited != self.account_version:
            return "Stale"
        if image == self.default:
            return "same"
        if image is not None and image not in self.images:
            return "Invalid default_image_id"
        self.default, self.account_version = image, self.account_version + 1
        return ""

    def enrol(self, name_key: str, now: int) -> tuple[str, str | None]:
        """How an enrolment ends, and the id of the agent that has the name."""
        standing = next((key for key, agent in self.agents.items() if agent.key == name_key and not agent.revoked), None)
        if standing is None:
            return "", None
        agent = self.agents[standing]
        allowed = not agent.used or (agent.reenrol_until is not None and agent.reenrol_until > now)
        return ("" if allowed else "Conflict agent-name-taken"), standing

    def may_reenrol(self, key: str, now: int) -> str:
        """Let a machine enrol under this name again."""
        agent = self.agents.get(key)
        if agent is None:
            return "NotFound"
        if agent.revoked:
            return "Conflict agent-revoked"
        agent.reenrol_until, agent.version = now + HOUR, agent.version + 1
        return ""

    def hand_over(self, token: str) -> tuple[str, Image | None]:
        """How a hand-over ends, and the image."""
        agent = self.agents[self.tokens[token]]
        if agent.token != token or agent.revoked:
            return "RefusedToken", None
        agent.used = True
        image = self.images.get(agent.image or self.default or "")
        return ("NotHandedOver no-image", None) if image is None else ("", image)

    def user_data(self, image: Image) -> str | None:
        """What the image's template renders to."""
        text = image.template
        for store, name in TEMPLATES[image.template]:
            record = self.find(store, name)
            assert record is not None
            assert text is not None
            text = text.replace(f"{{{{ {store}.{name} }}}}", record.value)
        return text


def taken(records: dict[str, Credential] | dict[str, Record] | dict[str, Image], name_key: str, but: str = "") -> bool:
    """Whether another record has a name with this key."""
    return any(record.key == name_key and key != but for key, record in records.items())
