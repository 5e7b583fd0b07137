"""The data: the same seed gives the same data, and it keeps what the models rely on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from headwater_sandbox import generator
from headwater_sandbox.generator import lana_person, person, product
from headwater_sandbox.postgres import Server
from headwater_sandbox.tick import KEYS, tick

SCALE = 0.02
TICKS = 35  # beyond the 33 days an order lives


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("generator")) as server:
        yield server


def make(server: Server, name: str, seed: int = 1, scale: float = SCALE) -> psycopg.Connection:
    """A database of its own, with history."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    connection = psycopg.connect(server.dsn, dbname=name, autocommit=True)
    generator.seed(connection, scale, seed)
    return connection


@pytest.fixture(scope="module")
def fresh(server: Server) -> Iterator[psycopg.Connection]:
    """History only."""
    with make(server, "fresh") as connection:
        yield connection


@pytest.fixture(scope="module")
def sums() -> dict[str, list[int]]:
    """Rows inserted, updated and deleted in all the days of `aged`, by table."""
    return {table: [0, 0, 0] for table in KEYS}


@pytest.fixture(scope="module")
def aged(server: Server, sums: dict[str, list[int]]) -> Iterator[psycopg.Connection]:
    """History and the days after it."""
    with make(server, "aged") as connection:
        for _ in range(TICKS):
            for table, counts in tick(connection)[1].items():
                sums[table] = [a + b for a, b in zip(sums[table], counts, strict=True)]
        yield connection


@pytest.fixture(params=["fresh", "aged"])
def database(request: pytest.FixtureRequest) -> psycopg.Connection:
    return request.getfixturevalue(request.param)


def one(connection: psycopg.Connection, query: str) -> object:
    (value,) = connection.execute(query).fetchone()
    return value


def hashes(connection: psycopg.Connection) -> dict[str, str]:
    return {
        table: one(
            connection, f"select md5(string_agg(t::text, '\n' order by {key})) from {table} t"
        )
        for table, key in KEYS.items()
    }


def rows_of(connection: psycopg.Connection) -> dict[str, int]:
    return {table: one(connection, f"select count(*) from {table}") for table in KEYS}


def test_the_same_seed_gives_the_same_history_and_days(
    server: Server, aged: psycopg.Connection
) -> None:
    with make(server, "again") as again, make(server, "other", seed=2) as other:
        for _ in range(TICKS):
            tick(again)
        assert hashes(again) == hashes(aged)
        mine, others = hashes(again), hashes(other)
    assert [table for table in KEYS if mine[table] == others[table]] == []


def test_volumes(fresh: psycopg.Connection) -> None:
    rows = rows_of(fresh)
    assert rows["rainbow.orders"] == 2_000
    assert rows["rainbow.order_details"] == 5_000
    assert rows["rainbow.customers"] == 400
    assert rows["lana.facilities"] == 100
    assert rows["lana.transactions"] == pytest.approx(1_200, abs=10)


def test_a_tick_counts_what_it_did(server: Server) -> None:
    with make(server, "counted") as connection:
        before = {table: snapshot(connection, table) for table in KEYS}
        day, counts = tick(connection)
        after = {table: snapshot(connection, table) for table in KEYS}
        newest = {
            table: one(
                connection, f"select min(updated_at) from {table} where updated_at >= '{day}'"
            )
            for table in KEYS
        }
    assert day == "2026-07-01"
    for table in KEYS:
        old, new = before[table], after[table]
        changed = {key for key in old.keys() & new.keys() if old[key] != new[key]}
        assert counts[table] == [
            len(new.keys() - old.keys()),
            len(changed),
            len(old.keys() - new.keys()),
        ], table
        # What a reader finds by updated_at is just what was inserted or updated.
        seen = {key for key in new if new[key][1] >= datetime(2026, 7, 1, tzinfo=UTC)}
        assert seen == changed | (new.keys() - old.keys()), table
        assert newest[table] is None or newest[table] >= datetime(2026, 7, 1, tzinfo=UTC)


def snapshot(connection: psycopg.Connection, table: str) -> dict[str, tuple[str, datetime]]:
    rows = connection.execute(f"select ({KEYS[table]})::text, t::text, updated_at from {table} t")
    return {key: (text, updated_at) for key, text, updated_at in rows}


def test_days_bring_all_kinds_of_change(
    fresh: psycopg.Connection, aged: psycopg.Connection, sums: dict[str, list[int]]
) -> None:
    closed = "select count(*) from lana.facilities where status = 'CLOSED'"
    assert one(aged, closed) > one(fresh, closed)
    still = {
        "inserted": {"rainbow.payments"},
        "updated": {"lana.transactions"},
        "deleted": {
            *("rainbow.payments", "rainbow.sellers", "rainbow.customers"),
            *("lana.customers", "lana.facilities", "lana.transactions"),
        },
    }
    for nth, what in enumerate(still):
        assert {table for table in KEYS if not sums[table][nth]} == still[what]


INVARIANTS = {
    "a facility owes what it drew less what it paid": """
        select * from lana.facilities f where outstanding_balance != (
            select coalesce(sum(case type when 'DISBURSAL' then amount else -amount end), 0)
            from lana.transactions t where t.facility_id = f.facility_id
        ) or outstanding_balance not between 0 and principal_amount
        or (status in ('CLOSED', 'PENDING')) != (outstanding_balance = 0)""",
    "no account is overdrawn at any time": """
        select * from (
            select sum(case type when 'DEPOSIT' then amount else -amount end) over (
                partition by customer_id order by transaction_date, transaction_id
            ) as balance
            from lana.transactions where facility_id is null
        ) as accounts where balance < 0""",
    "a facility's money is its own customer's, in its currency": """
        select * from lana.transactions t join lana.facilities f using (facility_id)
        where t.customer_id != f.customer_id or t.currency_code != f.currency_code
        or t.transaction_date < f.created_at""",
    "an account has one currency": """
        select customer_id from lana.transactions where facility_id is null
        group by 1 having count(distinct currency_code) > 1""",
    "an order has lines": """
        select order_id from rainbow.orders
        except select order_id from rainbow.order_details""",
    "a line has the product's price, until that changes": """
        select * from rainbow.order_details d
        join rainbow.orders using (order_id) join rainbow.products p using (product_id)
        where d.created_at >= p.updated_at
        and d.price != case currency_code when 'USD'
            then greatest(trunc(p.price / 25000, 2), 0.01) else p.price end""",
    "a line is of a promotion that was on": """
        select * from rainbow.order_details d join rainbow.promotions p using (promotion_id)
        where d.created_at < starts_at or d.created_at >= p.expires_at""",
    "a product costs no more than it did, at first": """
        select * from rainbow.products
        where price > original_price and updated_at < '2026-07-01'""",
    "who orders was a customer": """
        select * from rainbow.orders o left join rainbow.customers c using (customer_id)
        where c.created_at is null or c.created_at > o.created_at""",
    "who borrows was a customer": """
        select * from lana.facilities f left join lana.customers c using (customer_id)
        where c.created_at is null or c.created_at > f.created_at""",
}


@pytest.mark.parametrize("name", INVARIANTS)
def test_invariants(database: psycopg.Connection, name: str) -> None:
    assert database.execute(INVARIANTS[name]).fetchall() == []


def test_times_are_in_order(database: psycopg.Connection) -> None:
    end = one(database, "select (day + 1)::timestamp at time zone 'UTC' from sandbox.clock")
    for table in KEYS:
        late = f"select count(*) from {table} where not created_at <= updated_at"
        assert one(database, late) == 0, table
        assert one(database, f"select max(updated_at) from {table}") < end, table


def test_each_price_of_history_is_the_one_of_its_time(fresh: psycopg.Connection) -> None:
    wrong = fresh.execute(
        "select * from rainbow.order_details d join rainbow.orders using (order_id)"
        " join rainbow.products p using (product_id) where currency_code = 'VND' and d.price !="
        " case when d.created_at >= p.updated_at then p.price else p.original_price end"
    ).fetchall()
    assert wrong == []


def test_the_mess_is_there(fresh: psycopg.Connection) -> None:
    counts = {
        "huge numeric": "select count(*) from rainbow.products where weight_kg"
        " = 99999999999999999999999999999.999999999",
        "null in array": "select count(*) from rainbow.products"
        " where array_position(tags, null) is not null",
        "empty array": "select count(*) from rainbow.products where tags = '{}'",
        "many digits": "select count(*) from rainbow.products where attributes ->> 'exact'"
        " = '0.12345678901234567890123456789'",
        "bytes": "select count(*) from rainbow.products where length(thumbnail) > 20",
        "newline": "select count(*) from rainbow.orders where note like e'%\\n%'",
        "backslash": "select count(*) from rainbow.orders where note like '%\\\\N%'",
        "right to left": "select count(*) from rainbow.orders where note like '%الطلب%'",
        "combining": "select count(*) from rainbow.customers where full_name is not nfc normalized",
        "microseconds": "select count(*) from rainbow.orders"
        " where extract(microseconds from created_at)::int % 1000 != 0",
        "discounted": "select count(*) from rainbow.products where price < original_price",
        "another currency": "select count(*) from rainbow.orders where currency_code = 'USD'",
        "no end": "select count(*) from rainbow.promotions where expires_at is null",
        "spaced e-mail": "select count(*) from lana.customers where email != trim(email)",
    }
    assert [name for name, query in counts.items() if not one(fresh, query)] == []
    nullable = fresh.execute(
        "select format('%I.%I', table_schema, table_name), column_name"
        " from information_schema.columns"
        " where table_schema in ('rainbow', 'lana') and is_nullable = 'YES'"
    ).fetchall()
    assert len(nullable) > 15
    for table, column in nullable:
        assert one(fresh, f"select count(*) from {table} where {column} is null") > 0, column
        assert one(fresh, f"select count({column}) from {table}") > 0, column


def test_people_are_the_same_in_both_schemas(fresh: psycopg.Connection) -> None:
    rows = dict(fresh.execute("select customer_id, email from lana.customers").fetchall())
    differently = 0
    for number, email in rows.items():
        canonical = lana_person(number, 1).email
        local, domain = email.strip().lower().split("@")
        assert f"{local.split('+')[0]}@{domain}" == canonical
        differently += email != canonical
    assert differently > 10
    assert lana_person(2, 1) == person(6)


def test_no_two_people_share_an_email_though_some_nearly_do() -> None:
    emails = [person(number).email for number in range(1, 5_001)]
    assert len(set(emails)) == 5_000
    assert (person(39).email, person(40).email) == (
        "uyen.huynh39@example.com",
        "uyenhuynh39@example.com",
    )


def test_identities_are_pure() -> None:
    assert person(1_000_000) == person(1_000_000) != person(1_000_000, seed=2)
    assert product(123) == product(123) != product(123, seed=2)


def test_what_is_there_stays_unless_told_otherwise(server: Server) -> None:
    with make(server, "kept", scale=0.001) as connection:
        connection.execute("delete from rainbow.orders")
        generator.seed(connection, 0.001)
        assert one(connection, "select count(*) from rainbow.orders") == 0
        generator.seed(connection, 0.001, replace=True)
        assert one(connection, "select count(*) from rainbow.orders") == 100


def test_the_smallest_sandbox_lives_on(server: Server) -> None:
    """Where deletes outnumber what is there, nothing refers to what is gone."""
    with make(server, "small", scale=0.001) as connection:
        for _ in range(100):
            tick(connection)
        day = one(connection, "select day from sandbox.clock")
    assert day == generator.date_of(generator.DAYS - 1) + timedelta(days=100)
