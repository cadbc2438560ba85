"""Tokens that were minted: how often AWS is asked, how long one is good, what a restart takes, and what a database's owner cannot do."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.credentials.minting import GOOGLE_HOST, KEY, ecr_fields, google_fields, store
from tests.personas import START, House, TestClock
from tests.real.aws_ecr import GET_TOKEN, AwsEcr
from tests.real.aws_kms import REGION, SECRET_ACCESS_KEY
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.service_account import service_account_key
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.credentials.credential import Credential
from webapp.credentials.minted_tokens import FAILED, Minted
from webapp.credentials.minting import NotMinted, Source
from webapp.credentials.sign_ins import SignIns, minter
from webapp.errors import Conflict, NotFound
from webapp.registry.kinds import Kind
from webapp.rotation import rotate
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio


@pytest.fixture
def house_environ(ecr: AwsEcr, google: GoogleTokenEndpoint) -> Mapping[str, str]:
    return {**ecr.settings(), **google.settings()}


@pytest.fixture
def clocked(house: House, ecr: AwsEcr) -> TestClock:
    """The house's clock, by which AWS's tokens expire, too."""
    ecr.clock = house.clock
    return house.clock


async def signed_in(house: House, credential: Credential) -> str:
    """The token that signs in."""
    return (await house.store.sign_ins.stored(house.alice.actor, credential.id, credential.secret_version)).password.reveal().decode()


def restarted(house: House, settings: Settings | None = None) -> SignIns:
    """What a new process has: the rows, and nothing in memory."""
    opened = house.store
    return SignIns(opened.database, opened.vault, opened.chain, opened.clock, minter(settings or house.settings, opened.clock))


async def test_a_hundred_at_once_are_one_question(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    ecr.hang.clear()
    asking = [asyncio.create_task(signed_in(house, credential)) for _ in range(100)]
    assert await asyncio.to_thread(ecr.came.wait, 10)
    for task in asking[:10]:  # who leaves stops nobody else's, whoever asked first
        task.cancel()
    ecr.hang.set()
    found = await asyncio.gather(*asking[10:])
    assert set(found) == {ecr.tokens[0]}
    assert ecr.asked == {GET_TOKEN: 1}
    rows = [row for row in await house.audit() if row["action"] == "registry_credential.mint"]
    assert [(row["actor_kind"], row["actor_label"], row["object_name"], row["detail"]) for row in rows] == [
        ("system", "minter", "ecr-acme", f"host {credential.host}; token until 2026-11-04T02:05:00Z")
    ]


async def test_what_is_handed_over_is_good_for_three_hours_at_least(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    clocked.advance(9 * HOUR)
    assert await signed_in(house, credential) == first, "3 hours are left"
    clocked.advance(1)
    second = await signed_in(house, credential)
    assert (second != first, ecr.asked[GET_TOKEN]) == (True, 2)
    clocked.advance(12 * HOUR)
    assert await signed_in(house, credential) not in {first, second}


async def test_another_one_is_minted_while_the_first_is_good(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    clocked.advance(7 * HOUR + 30 * MINUTE)
    assert (await signed_in(house, credential), ecr.asked[GET_TOKEN]) == (first, 1)
    clocked.advance(1)
    ecr.hang.clear()
    ecr.came.clear()
    for _ in range(3):
        assert await signed_in(house, credential) == first, "nobody waits"
    assert await asyncio.to_thread(ecr.came.wait, 10)
    ecr.hang.set()
    await asyncio.gather(*house.store.sign_ins.tokens._running.values())
    assert (await signed_in(house, credential) != first, ecr.asked[GET_TOKEN]) == (True, 2)


async def test_a_token_of_a_short_life_is_good_for_three_quarters_of_it(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    ecr.lives = HOUR
    credential = await store(house)
    first = await signed_in(house, credential)
    clocked.advance(15 * MINUTE)
    assert await signed_in(house, credential) == first
    clocked.advance(1)
    assert await signed_in(house, credential) != first


async def test_googles_are_good_for_three_quarters_of_an_hour(house: House, google: GoogleTokenEndpoint, ecr: AwsEcr) -> None:
    key = service_account_key()
    google.know(key)
    google.lives = 3600
    credential = await store(house, google_fields(), key)
    sign_in = await house.store.sign_ins.stored(house.alice.actor, credential.id, credential.secret_version)
    assert (sign_in.username, credential.host) == ("oauth2accesstoken", GOOGLE_HOST)
    house.clock.advance(15 * MINUTE)
    assert await signed_in(house, credential) == google.tokens[0]
    house.clock.advance(1)
    assert await signed_in(house, credential) == google.tokens[1]
    assert google.asked == 2
    assert not ecr.asked


async def test_a_restart_takes_the_row(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    clocked.advance(HOUR)
    again = await restarted(house).stored(house.alice.actor, credential.id, credential.secret_version)
    assert (again.password.reveal().decode(), ecr.asked[GET_TOKEN]) == (first, 1)
    clocked.advance(9 * HOUR)
    later = await restarted(house).stored(house.alice.actor, credential.id, credential.secret_version)
    assert (later.password.reveal().decode() != first, ecr.asked[GET_TOKEN]) == (True, 2)


CHANGED = (
    ("UPDATE minted_tokens SET expires_at = expires_at + :value", DAY),
    ("UPDATE minted_tokens SET minted_at = expires_at - :value", MINUTE),
    ("UPDATE minted_tokens SET sealed = :value", b"SB1"),
)
OF_ANOTHER_TYPE = (("UPDATE minted_tokens SET sealed = :value", "text"), ("UPDATE minted_tokens SET expires_at = :value", "never"))


@pytest.mark.parametrize(
    ("engine", "statement", "value"),
    [*(("sqlite", *each) for each in CHANGED + OF_ANOTHER_TYPE), *(("postgresql", *each) for each in CHANGED)],
    indirect=["engine"],
)
async def test_a_row_that_was_changed_is_not_handed_over(
    house: House, clocked: TestClock, ecr: AwsEcr, statement: str, value: object
) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    clocked.advance(10 * HOUR)
    await house.tamper(statement, value=value)
    again = await restarted(house).stored(house.alice.actor, credential.id, credential.secret_version)
    assert (again.password.reveal().decode() != first, ecr.asked[GET_TOKEN]) == (True, 2)


async def test_a_row_that_was_moved_to_another_credential_is_not_handed_over(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    mine, other = await store(house), await store(house, ecr_fields(name="other"))
    first = await signed_in(house, mine)
    await house.tamper("UPDATE minted_tokens SET id = :value", value=other.id)
    again = await restarted(house).stored(house.alice.actor, other.id, other.secret_version)
    assert (again.password.reveal().decode() != first, ecr.asked[GET_TOKEN]) == (True, 2)


async def test_another_value_gets_another_token(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    changed = ecr_fields(replace(KEY, role_arn="arn:aws:iam::123456789012:role/puller"))
    value = Secret(SECRET_ACCESS_KEY.encode())
    replaced = await house.store.credentials.save(house.alice.actor, credential.id, changed, value, credential.version)
    second = await signed_in(house, replaced)
    assert (second != first, ecr.asked[GET_TOKEN]) == (True, 2)
    kept = await house.store.database.fetch_all("SELECT secret_version FROM minted_tokens")
    assert [row["secret_version"] for row in kept] == [2]


async def test_a_token_that_comes_after_its_value_was_replaced_is_dropped(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    ecr.hang.clear()
    asking = asyncio.create_task(signed_in(house, credential))
    assert await asyncio.to_thread(ecr.came.wait, 10)
    await house.store.credentials.save(
        house.alice.actor, credential.id, ecr_fields(), Secret(SECRET_ACCESS_KEY.encode()), credential.version
    )
    ecr.hang.set()
    with pytest.raises(Conflict, match="was changed while"):
        await asking
    assert await house.store.database.fetch_all("SELECT id FROM minted_tokens") == []


async def test_a_failure_is_not_asked_for_again_at_once(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    ecr.errors[GET_TOKEN] = 400, "AccessDeniedException"
    for _ in range(3):
        with pytest.raises(NotMinted, match="refuses ecr:GetAuthorizationToken"):
            await signed_in(house, credential)
        clocked.advance(FAILED // 3)
    assert ecr.asked[GET_TOKEN] == 1
    ecr.errors.clear()
    clocked.advance(SECOND)
    assert await signed_in(house, credential) == ecr.tokens[0]


async def test_what_is_good_is_handed_over_while_aws_is_down(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    ecr.errors[GET_TOKEN] = 400, "AccessDeniedException"
    for left in (4 * HOUR, 3 * HOUR):
        clocked.now = START + 12 * HOUR - left
        assert await signed_in(house, credential) == first
        await asyncio.gather(*house.store.sign_ins.tokens._running.values())
    assert ecr.asked[GET_TOKEN] == 3, "it was tried"
    clocked.advance(1)
    with pytest.raises(NotMinted):
        await signed_in(house, credential)


async def test_a_token_that_has_expired_when_it_comes_is_about_a_clock(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    ecr.lives = 0
    with pytest.raises(NotMinted, match=r"expired already, on 3 Nov 2026, 14:05 UTC: the clock of this server") as caught:
        await signed_in(house, await store(house))
    assert (caught.value.kind, caught.value.lasting) == (Kind.UNREACHABLE, False)
    assert await house.store.database.fetch_all("SELECT id FROM minted_tokens") == []


async def test_a_draft_is_minted_for_and_not_kept(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    sign_in = await house.store.sign_ins.draft(house.alice.actor, ecr_fields(), Secret(SECRET_ACCESS_KEY.encode()))
    assert (sign_in.username, sign_in.password.reveal().decode()) == ("AWS", ecr.tokens[0])
    assert await house.store.database.fetch_all("SELECT id FROM minted_tokens") == []


async def test_what_one_account_has_minted_keeps_no_other_waiting(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    ecr.hang.clear()
    sign_ins, value = house.store.sign_ins, Secret(SECRET_ACCESS_KEY.encode())
    theirs = [asyncio.create_task(sign_ins.draft(house.charlie.actor, ecr_fields(), value)) for _ in range(40)]
    try:
        for _ in range(500):  # importing boto3 takes a while
            await asyncio.sleep(0.01)
            if ecr.asked[GET_TOKEN] == 2:
                break
        await asyncio.sleep(0.1)
        assert ecr.asked[GET_TOKEN] == 2
        mine = asyncio.create_task(signed_in(house, await store(house)))
        for _ in range(300):  # AWS is asked again after 5 s
            await asyncio.sleep(0.01)
            if ecr.asked[GET_TOKEN] > 2:
                break
        assert ecr.asked[GET_TOKEN] == 3
    finally:
        ecr.hang.set()
        await asyncio.gather(*theirs)
    assert await mine
    assert ecr.asked[GET_TOKEN] == 41


async def test_other_accounts_and_expired_ones_sign_in_nowhere(house: House, google: GoogleTokenEndpoint) -> None:
    credential = await store(house, replace(google_fields(), expires_at=house.clock() + DAY, expiry_source="typed"))
    with pytest.raises(NotFound):
        await house.store.sign_ins.stored(house.charlie.actor, credential.id, credential.secret_version)
    house.clock.advance(DAY)
    with pytest.raises(Conflict, match=r"gar-acme expired on 4 Nov 2026, 14:05 UTC\. Enter a new value") as caught:
        await signed_in(house, credential)
    assert (caught.value.code, google.asked) == ("credential-expired", 0)


async def test_a_rotation_and_a_check_come_to_the_row(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    first = await signed_in(house, credential)
    done = await rotate(house.store, house.alice.actor, lambda done, total: None)
    kept = await house.store.database.fetch_all("SELECT kek_id FROM minted_tokens")
    assert [row["kek_id"] for row in kept] == [done.key]
    assert await signed_in(house, credential) == first, "what is in memory opens as before"
    again = await restarted(house).stored(house.alice.actor, credential.id, credential.secret_version)
    assert (again.password.reveal().decode(), ecr.asked[GET_TOKEN]) == (first, 1)
    report = await house.store.check()
    assert (report.ok, report.lines[-1]) == (True, "minted tokens: 1 open, 0 do not")
    await house.tamper("UPDATE minted_tokens SET expires_at = expires_at + :value", value=DAY)
    report = await house.store.check()
    assert not report.ok
    assert any(line.startswith("minted token ") and "does not open" in line for line in report.lines)


async def test_it_goes_when_its_credential_goes(house: House, clocked: TestClock, ecr: AwsEcr) -> None:
    credential = await store(house)
    await signed_in(house, credential)
    await house.store.credentials.deletion.delete(house.alice.actor, credential.id)
    assert await house.store.database.fetch_all("SELECT id FROM minted_tokens") == []


def test_what_is_left_counts_to_the_millisecond() -> None:
    source = Source("account", "credential", 1, "host", "aws_ecr", f'{{"region":"{REGION}"}}')
    minted = Minted(source, b"", b"", 0, 12 * HOUR)
    assert (minted.is_good(9 * HOUR), minted.is_good(9 * HOUR + 1)) == (True, False)
    assert not Minted(source, b"", b"", 0, 0).is_good(0)
