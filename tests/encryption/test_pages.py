"""Settings → Encryption: what seals, how old it is, and when to rotate; for admins, and without a key in it."""

import asyncio
import re

import httpx2
import pytest

from tests.personas import House
from tests.stories import store_credential
from webapp.clock import DAY
from webapp.encryption.key import MOST_WRAPS
from webapp.errors import Unavailable
from webapp.rotation import rotate

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # how it looks; the rotations ask for keys on both

ADDRESS = "/settings/encryption"


@pytest.fixture
async def alone(house: House) -> None:
    """Alice's account is the only one."""
    for table in ("members", "accounts"):
        await house.tamper(f"DELETE FROM {table} WHERE {'id' if table == 'accounts' else 'account_id'} = :id", id=house.charlie.account_id)


async def words(client: httpx2.AsyncClient) -> str:
    """The page's text."""
    answer = await client.get(ADDRESS)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2]).split())


@pytest.mark.usefixtures("alone")
async def test_it_shows_the_terms_with_their_rows_and_their_age(house: House, alice: httpx2.AsyncClient) -> None:
    for number in range(3):
        await store_credential(alice, name=f"credential-{number}")
    house.clock.advance(2 * DAY)
    alice = await house.signed_in(house.alice)
    assert "Key 1 Seals now 3 Nov 2026, 14:05 UTC 2 days 3 3" in await words(alice)
    await rotate(house.store, house.alice.actor, lambda *_: None)
    await store_credential(alice, name="another")
    page = await words(alice)
    assert "Key 5 Seals now 5 Nov 2026, 14:05 UTC 0 days 4 4" in page
    assert "Key 1 Retired 3 Nov 2026, 14:05 UTC 2 days 0 3" in page
    assert page.index("Key 5") < page.index("Key 1 ")


async def test_it_shows_the_root_keys_place_and_fingerprint_and_no_key(house: House, alice: httpx2.AsyncClient) -> None:
    answer = (await alice.get(ADDRESS)).text
    assert str(house.settings.root_key_file) in answer
    assert (await house.store.keys.keys(house.alice.actor)).root_fingerprint in answer
    assert house.store.vault.public_key in answer
    vault = house.store.vault._keyring
    for key in (*vault.keks.values(), *vault.others.values()):
        assert key.reveal().hex() not in answer
    assert house.settings.root_key_file.read_text().strip() not in answer


async def test_it_suggests_a_rotation_after_a_year(house: House, alice: httpx2.AsyncClient) -> None:
    assert "A rotation is suggested on 3 Nov 2027, 14:05 UTC , or after 1,073,741,824 data keys." in await words(alice)
    house.clock.advance(365 * DAY - 1)
    assert "Time to rotate" not in await words(await house.signed_in(house.alice))
    house.clock.advance(1)
    page = await words(await house.signed_in(house.alice))
    assert "Time to rotate the key. The one that seals is 365 days old" in page
    await rotate(house.store, house.alice.actor, lambda *_: None)
    assert "Time to rotate" not in await words(await house.signed_in(house.alice))


@pytest.mark.usefixtures("alone")
async def test_it_suggests_a_rotation_after_so_many_data_keys(house: House, alice: httpx2.AsyncClient) -> None:
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE keyring SET wraps = :wraps WHERE purpose = 'kek'", {"wraps": MOST_WRAPS - 1})
    assert "Time to rotate" not in await words(alice)
    await store_credential(alice)
    assert "has wrapped 1,073,741,824 data keys" in await words(alice)


async def test_it_says_when_a_rotation_is_not_finished(house: House, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE keyring SET state = 'retiring' WHERE id = 1")
        await transaction.execute(
            "INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)"
            " SELECT 5, purpose, 'active', wrapped, check_value, root_fingerprint, created_at FROM keyring WHERE id = 1"
        )
    page = await words(alice)
    assert "A rotation is not finished. 1 value is not under the newest key yet." in page
    assert "Being replaced" in page


async def test_it_tells_no_account_what_the_others_have_sealed(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    await store_credential(alice)
    for number in range(3):
        await store_credential(charlie, name=f"credential-{number}")
    for admin, own in ((alice, 1), (charlie, 3)):
        page = await words(admin)
        assert f"0 days {own} Root key" in page, "its own values, and no count of what the key has wrapped for all"
        assert "There are other accounts here" in page
    await house.tamper("UPDATE keyring SET state = 'retiring' WHERE purpose = 'kek'")
    await house.tamper(
        "INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)"
        " SELECT 5, purpose, 'active', wrapped, check_value, root_fingerprint, created_at FROM keyring WHERE id = 1"
    )
    await house.tamper("UPDATE registry_credentials SET kek_id = 5 WHERE account_id = :id", id=house.alice.account_id)
    assert "A rotation is not finished. It may be running" in await words(alice), "with charlie's values, however many they are"
    assert "A rotation is not finished. 3 values are not under the newest key yet." in await words(charlie)


async def test_it_refuses_who_is_no_admin(house: House, bob: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    assert (await bob.get(ADDRESS)).status_code == 403
    assert ADDRESS not in (await bob.get("/settings")).text
    assert (await stranger.get(ADDRESS)).status_code == 303
    assert (await (await house.signed_in(house.erin)).get(ADDRESS)).status_code == 403


async def test_it_says_where_heads_go_and_when_they_do_not(house: House, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice)
    heads = house.app.state.heads
    await heads.write()
    page = await words(alice)
    assert f"Written to {house.settings.audit_heads}" in page
    assert "Last one 3 Nov 2026, 14:05 UTC" in page
    heads.sink = "http://127.0.0.1:9/heads?key=private"
    await store_credential(alice, name="another")
    await heads.write()
    page = await words(alice)
    assert "Heads cannot be written just now. The head cannot be sent to 127.0.0.1" in page
    assert "http://127.0.0.1:9/heads" in page
    assert "private" not in page
    heads.sink = ""
    assert "Set WEBAPP_AUDIT_HEADS" in await words(alice)


async def test_what_was_wrapped_is_counted_once_also_when_it_cannot_be_noted(house: House, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice)
    await house.refuse_writes("keyring", "UPDATE")
    with pytest.raises(Unavailable):
        await house.store.keys.note_wraps()
    assert (await house.store.keys.keys(house.alice.actor)).active.wraps == 0
    await house.take_writes()
    await asyncio.gather(*(house.store.keys.note_wraps() for _ in range(5)))
    assert (await house.store.keys.keys(house.alice.actor)).active.wraps == 1
