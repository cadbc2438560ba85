"""What members do to images and agents, what agents do, and what befalls the whole store, as rules of the machine."""

from collections.abc import Awaitable, Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.battery.kept_open import loop, parts_of, template
from tests.battery.machine import TABLES, Machine, there_are
from tests.battery.model import TEMPLATES, Agent, Image
from tests.battery.value_rules import EDITED, NAMES, WHICH, edited
from webapp.actor import Actor
from webapp.images.image import ImageFields
from webapp.images.user_data import parse_user_data
from webapp.names import Name, parse_name
from webapp.provisioning.provision import Provision, provision
from webapp.reference import Reference
from webapp.rotation import rotate
from webapp.vault import Token, parse

REFERENCES = st.sampled_from(["ghcr.io/acme/a:1", "ghcr.io/acme/a:2", "acme/b", "localhost:5000/c@sha256:" + "0" * 64]).map(Reference.parse)
USER_DATA = st.sampled_from([None, None, *TEMPLATES])
USED = st.one_of(st.none(), WHICH)
"""Which credential or image is chosen, or none."""
FEW = 3
"""Rotations, and starts, of one sequence."""


class ImageRules(Machine):
    """Images, and the account's default."""

    @rule(name=NAMES, reference=REFERENCES, credential=USED, template=USER_DATA)
    def add_image(self, name: Name, reference: Reference, credential: int | None, template: str | None) -> None:
        new = self._image(name, reference, credential, template)
        self._add_image(new)

    @precondition(there_are("registry_credentials"))
    @rule(name=NAMES, which=WHICH, template=USER_DATA)
    def add_image_for_a_credential(self, name: Name, which: int, template: str | None) -> None:
        credentials = list(self.model.credentials.items())
        key, credential = credentials[which % len(credentials)]
        new = self._image(name, Reference.parse(f"{credential.host}/acme/d"), None, template)
        new.credential = key
        self._add_image(new)

    @precondition(there_are("images"))
    @rule(which=WHICH, name=NAMES, reference=REFERENCES, credential=USED, template=USER_DATA, offset=EDITED)
    def save_image(
        self, which: int, name: Name, reference: Reference, credential: int | None, template: str | None, offset: int | None
    ) -> None:
        key = self.pick("images", which)
        stored = self.model.images.get(key)
        version = edited(stored.version if stored else 1, offset)
        new = self._image(name, reference, credential, template)
        expected = self.model.save_image(key, new, version)
        self.run(self.store.images.save(self.actor, key, image_fields(new), version), expected, "save image")
        if not expected and stored is not None:
            new.version = stored.version + 1
            self.model.images[key] = new

    @precondition(there_are("images"))
    @rule(which=WHICH)
    def delete_image(self, which: int) -> None:
        key = self.pick("images", which)
        self.run(self.store.images.delete(self.actor, key), self.model.delete_image(key), "delete image")

    @precondition(there_are("images"))
    @rule(which=USED, offset=EDITED)
    def choose_default(self, which: int | None, offset: int | None) -> None:
        image = None if which is None else self.pick("images", which)
        version = edited(self.model.account_version, offset)
        expected = self.model.choose_default(image, version)
        work = self.store.accounts.update_account(self.actor, parse_name("Acme"), image, version)
        self.run(work, expected.removeprefix("same"), "choose the default image")
        self.model.rows -= expected == "same"

    def _add_image(self, new: Image) -> None:
        added = self.run(self.store.images.add(self.actor, image_fields(new)), self.model.save_image("", new, None), "add image")
        if added is not None:
            self.model.images[added[0].id] = new
            self.ids["images"].append(added[0].id)

    def _image(self, name: Name, reference: Reference, credential: int | None, template: str | None) -> Image:
        key = None if credential is None else self.pick("registry_credentials", credential)
        return Image(
            name.text,
            name.key,
            updated_by=self.actor.label,
            reference=str(reference),
            host=reference.host,
            credential=key,
            template=template,
        )


class AgentRules(Machine):
    """Agents: enrolled, given an image, handed it over, revoked."""

    @rule(name=NAMES)
    def enrol(self, name: Name) -> None:
        expected, standing = self.model.enrol(name.key, self.clock())
        found = loop().run(self.store.enrolment.find_bearer(template().token))
        assert found is not None
        assert found[1] is None
        enrolled = self.run(self.store.enrolment.enroll(found[0], name), expected, "enrol")
        if enrolled is None:
            return
        key, text = enrolled[0], enrolled[1].reveal().decode()
        if standing is None:
            self.model.agents[key] = Agent(name.text, name.key)
            self.ids["agents"].append(key)
        else:
            assert key == standing
            self.model.agents[key].version += 1
            self.model.agents[key].reenrol_until = None
        self.model.agents[key].token, self.model.agents[key].used = text, False
        self.model.tokens[text] = key

    @precondition(there_are("agents"))
    @rule(which=WHICH, image=USED, offset=EDITED)
    def assign(self, which: int, image: int | None, offset: int | None) -> None:
        key, chosen = self.pick("agents", which), None if image is None else self.pick("images", image)
        stored = self.model.agents.get(key)
        version = edited(stored.version if stored else 1, offset)
        expected = self.model.assign(key, chosen, version)
        work = self.store.agents.assign_image(self.actor, key, image_id=chosen, version=version)
        self.run(work, expected.removeprefix("same"), "assign an image")
        self.model.rows -= expected == "same"

    @precondition(there_are("agents"))
    @rule(which=WHICH)
    def allow_reenrolment(self, which: int) -> None:
        key = self.pick("agents", which)
        expected = self.model.may_reenrol(key, self.clock())
        self.run(self.store.agents.allow_reenrolment(self.actor, key), expected, "allow re-enrolment")

    @precondition(there_are("agents"))
    @rule(which=WHICH)
    def revoke(self, which: int) -> None:
        key = self.pick("agents", which)
        agent = self.model.agents.get(key)
        self.run(self.store.agents.revoke(self.actor, key), "" if agent else "NotFound", "revoke")
        if agent is not None:
            self.model.rows -= agent.revoked
            agent.version += not agent.revoked
            agent.revoked, agent.reenrol_until = True, None

    @precondition(lambda self: self.model.tokens)
    @rule(which=st.integers(0, 11), times=st.integers(1, 3))
    def hand_over(self, which: int, times: int) -> None:
        standing = [agent.token for agent in self.model.agents.values() if not agent.revoked]
        tokens = standing if which < 10 and standing else list(self.model.tokens)
        text = tokens[which % len(tokens)]
        token = parse(text, "a")
        assert token is not None
        for _ in range(times):  # from the second time on the row was kept
            self._hand_over(text, token)

    def _hand_over(self, text: str, token: Token) -> None:
        expected, image = self.model.hand_over(text)
        handed = self.run(provision(token, "192.0.2.9", None, self.parts), expected, "hand over")
        assert (handed is None) is (image is None)
        if handed is not None and image is not None:
            assert found_in(handed) == self._expected_hand_over(image), "what was handed over is not what the model says"

    def _expected_hand_over(self, image: Image) -> tuple[str, str, tuple[str, str] | None, str | None]:
        credential = self.model.credentials.get(image.credential or "")
        auth = None if credential is None else (credential.username, credential.value)
        return image.name, image.reference, auth, self.model.user_data(image)


class HouseRules(Machine):
    """What befalls the whole store, and who sees it from elsewhere."""

    rotations = starts = 0

    @precondition(lambda self: self.rotations < FEW)
    @rule()
    def rotate(self) -> None:
        self.rotations += 1
        done = self.run(rotate(self.store, self.actor, lambda done, total: None), "", "rotate the key")
        assert done is not None
        assert done.broken == ()
        self.model.rows += len(done.retired)

    @precondition(lambda self: self.starts < FEW)
    @rule()
    def reopen(self) -> None:
        self.starts += 1
        self.opened.reopen()
        self.parts = parts_of(self.store)
        self.compare()

    @rule()
    def look(self) -> None:
        self.compare()

    @rule(table=st.sampled_from(TABLES), which=WHICH)
    def let_a_stranger_try(self, table: str, which: int) -> None:
        deletes: dict[str, Callable[[Actor, str], Awaitable[object]]] = {
            "registry_credentials": self.store.credentials.deletion.delete,
            "secrets": self.store.secrets.delete,
            "variables": self.store.variables.delete,
            "images": self.store.images.delete,
            "agents": self.store.agents.revoke,
        }
        self.run(deletes[table](self.stranger, self.pick(table, which)), "NotFound", f"somebody of another account deletes of {table}")


def image_fields(new: Image) -> ImageFields:
    """What a member would have typed."""
    parsed = None if new.template is None else parse_user_data(new.template)
    references = () if parsed is None else parsed.references
    return ImageFields(new.name, new.key, "", new.reference, new.reference, new.host, new.credential, new.template, references)


def found_in(handed: Provision) -> tuple[str, str, tuple[str, str] | None, str | None]:
    """What was handed over, to be compared."""
    auth = None if handed.auth is None else (handed.auth.username, handed.auth.password.reveal().decode())
    return handed.image_name, handed.reference, auth, None if handed.user_data is None else handed.user_data.reveal().decode()
