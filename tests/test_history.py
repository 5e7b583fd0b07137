"""History: dimensions and people after several runs, with changes at the source between them.

Every version is worked out by hand. `SEEN` stands for the moment of a run, which is all that can be
known of a change the source does not date.
"""

import datetime as dt

import pytest
from dbt_project import Project, make_raw_layer

ALL, NOW, SEEN = "1900-01-01 00:00:00", "2100-01-01 00:00:00", "seen"
OPENED = "2026-01-01 00:00:00"
DELETED = "2026-04-01 00:00:00"
MODELS = "+dim_products +dim_promotions +dim_payments +dim_sellers +dim_customers +dim_dates"
# The orders have no more than what is needed here, which their own tests would not take.
ORDERS = "resource_type:test,path:models/staging/shopify"
SELECT = ("--select", MODELS, "+customer_identity", "--exclude", ORDERS)
SELECT += ("--indirect-selection", "cautious")


def product(number: int, price: str = "10.00", **rest: object) -> dict:
    return {
        "product_id": number,
        "product_name": f"P{number}",
        "category_id": 2,
        "seller_id": 1,
        "price": price,
        "original_price": "99.00",
    } | rest


def account(number: int, email: str, **rest: object) -> dict:
    return {"customer_id": number, "email": email} | rest


def shopper(number: int, email: str | None) -> dict:
    return {
        "id": f"gid://shopify/Customer/{number}",
        "email": email,
        "firstName": "Anna",
        "state": "ENABLED",
        "createdAt": "2026-01-02 00:00:00",
        "updatedAt": "2026-01-02 00:00:00",
    }


LENT = {"status": "ACTIVE", "created_at": "2026-01-03 00:00:00"}
ROWS = {
    "raw_rainbow.categories": [
        {"category_id": 1, "category_name": "Home"},
        {"category_id": 2, "category_name": "Lamps", "parent_category_id": 1},
    ],
    "raw_rainbow.brands": [{"brand_id": 1, "brand_name": "Lux"}],
    "raw_rainbow.sellers": [{"seller_id": 1, "seller_name": "Shop"}],
    "raw_rainbow.promotions": [
        {"promotion_id": 1, "promotion_name": "Tết"}
        | {"coupon_type": "Percentage", "price_treatment": "10.00", "starts_at": OPENED},
    ],
    "raw_rainbow.payments": [{"payment_id": 1, "payment_method": "cash"}],
    "raw_rainbow.products": [
        *(product(number) for number in (1, 2, 3, 4, 5, 7, 8, 10, 11)),
        product(6, _sdc_deleted_at=DELETED),
    ],
    "raw_rainbow.customers": [
        account(1, "Anna@Example.com ", is_subscribed=True),
        account(2, "an.na@example.com"),
        account(3, "anna@example.org"),
        account(4, "anna@exarnple.com"),
        account(5, "n/a"),
        account(6, ""),
        account(7, "+x@example.com"),
        account(8, "bob@example.com"),
        account(9, "eve@example.com"),
        account(11, "gone@example.com"),
        account(12, "tu+one@example.com"),
        account(13, "TU+two@example.com", created_at="2026-01-05 00:00:00"),
    ],
    "raw_lana.customers": [
        account(1, " anna+lana@example.com", **LENT),
        account(5, "n/a", **LENT),
        account(6, "", **LENT),
        account(7, "+y@example.com", **LENT),
        account(9, "\teve@example.com", **LENT),
        account(10, "old@example.com", **LENT | {"created_at": "2025-01-01 00:00:00"}),
    ],
    "raw_shopify.customers": [
        shopper(1, "ANNA@example.com"),
        shopper(2, None),
        shopper(3, None),
    ],
    "raw_shopify.products": [
        {"id": "gid://shopify/Product/1", "title": "Tee", "vendor": "Lux", "productType": "Shirts"}
        | {"status": "ACTIVE", "createdAt": OPENED, "updatedAt": OPENED},
    ],
    "raw_shopify.orders": [
        {"id": "gid://shopify/Order/1", "paymentGatewayNames": '["paypal", "gift_card"]'},
        {"id": "gid://shopify/Order/2", "paymentGatewayNames": '["paypal"]'},
        {"id": "gid://shopify/Order/3", "paymentGatewayNames": "[]"},
    ],
}

SECOND_DAY = f"""
    update raw_rainbow.products set price = 20, updated_at = '2026-05-01' where product_id = 2;
    update raw_rainbow.products set _sdc_deleted_at = '{DELETED}' where product_id in (3, 4, 11);
    update raw_rainbow.products set price = 20 where product_id = 5;
    update raw_rainbow.products set price = 20, updated_at = '2026-03-01',
        _sdc_deleted_at = '{DELETED}' where product_id = 7;
    update raw_rainbow.products set sold_count = 7, updated_at = '2026-03-01' where product_id = 8;
    update raw_rainbow.products set price = 20, updated_at = '2025-12-01' where product_id = 10;
    insert into raw_rainbow.products by name select * replace (9 as product_id,
        timestamp '2026-05-02' as created_at, timestamp '2026-05-02' as updated_at)
        from raw_rainbow.products where product_id = 1;
    update raw_rainbow.categories set category_name = 'Light', updated_at = '2026-05-01'
        where category_id = 2;
    update raw_rainbow.promotions set price_treatment = 25, updated_at = '2026-05-01';
    update raw_rainbow.payments set fee_rate = 0.5, updated_at = '2026-05-01';
    update raw_rainbow.sellers set seller_name = 'Shop & Co', updated_at = '2026-05-01';

    update raw_rainbow.customers set email = 'bob@new.com', updated_at = '2026-05-01'
        where customer_id = 8;
    insert into raw_lana.customers by name select * replace (8 as customer_id,
        'bob@example.com' as email) from raw_lana.customers where customer_id = 1;
    update raw_rainbow.customers set email = 'eva@example.com', updated_at = '2026-05-01'
        where customer_id = 9;
    insert into raw_shopify.customers by name select * replace ('gid://shopify/Customer/9' as id,
        'eva@example.com' as email, timestamp '2026-05-03' as createdAt)
        from raw_shopify.customers where id = 'gid://shopify/Customer/1';
    insert into raw_rainbow.customers by name select * replace (10 as customer_id,
        'OLD@example.com' as email, timestamp '2026-05-04' as created_at,
        timestamp '2026-05-04' as updated_at) from raw_rainbow.customers where customer_id = 2;
    update raw_rainbow.customers set _sdc_deleted_at = '2026-05-05' where customer_id = 11;
    update raw_rainbow.customers set is_subscribed = false, updated_at = '2026-05-06'
        where customer_id = 1;
    update raw_lana.customers set status = 'SUSPENDED', updated_at = '2026-05-07'
        where customer_id = 1;
"""
THIRD_DAY = f"""
    update raw_rainbow.products set price = 30, updated_at = '2026-05-08' where product_id = 2;
    update raw_rainbow.products set price = 40, updated_at = '2026-05-09' where product_id = 2;
    update raw_rainbow.products set price = 30, updated_at = '2026-05-08', _sdc_deleted_at = null
        where product_id = 3;
    update raw_rainbow.products set _sdc_deleted_at = null where product_id = 4;
    update raw_rainbow.products set _sdc_deleted_at = '2026-06-01' where product_id = 8;
    update raw_rainbow.products set price = 30, updated_at = '2026-03-15', _sdc_deleted_at = null
        where product_id = 11;

    insert into raw_lana.customers by name select * replace (11 as customer_id,
        'gone@example.com' as email) from raw_lana.customers where customer_id = 1;
    update raw_rainbow.customers set _sdc_deleted_at = '{DELETED}' where customer_id = 13;
    update raw_rainbow.customers set full_name = 'Someone Else', updated_at = '2026-05-08'
        where customer_id = 1;
"""


class History:
    """A warehouse after three runs; the person keys after each."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.began = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        make_raw_layer(self.project.warehouse, ROWS)
        self.persons = [self.run()]
        for day in (SECOND_DAY, THIRD_DAY):
            self.project.execute(day)
            self.persons.append(self.run())

    def run(self) -> dict[tuple[str, int], str]:
        result = self.project.dbt("build", *SELECT)
        assert result.returncode == 0, result.stdout
        keys = "select source_system, account_id, person_key from intermediate.int_person_accounts"
        return {(system, number): key for system, number, key in self.project.query(keys)}

    def query(self, sql: str) -> list[tuple]:
        """The rows, with what happened since the test began as SEEN."""
        return [
            tuple(SEEN if str(self.began) <= str(v) < "2100" and " " in str(v) else v for v in row)
            for row in self.project.query(sql)
        ]

    def people(self, run: int) -> set[frozenset[tuple[str, int]]]:
        """The accounts of each person."""
        persons: dict[str, set] = {}
        for account_, key in self.persons[run].items():
            persons.setdefault(key, set()).add(account_)
        return {frozenset(accounts) for accounts in persons.values()}


@pytest.fixture(scope="module")
def history(parsed: Project, tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(parsed.copy(tmp_path_factory.mktemp("history")))


@pytest.mark.parametrize(
    ("number", "versions"),
    [
        pytest.param(1, [("10.00", ALL, NOW)], id="unchanged"),
        pytest.param(
            2,
            # Of two changes between two runs the later is known.
            [
                ("10.00", ALL, "2026-05-01 00:00:00"),
                ("20.00", "2026-05-01 00:00:00", "2026-05-09 00:00:00"),
                ("40.00", "2026-05-09 00:00:00", NOW),
            ],
            id="changed thrice",
        ),
        pytest.param(
            3,
            [("10.00", ALL, DELETED), ("30.00", "2026-05-08 00:00:00", NOW)],
            id="deleted and come back",
        ),
        pytest.param(
            4,
            [("10.00", ALL, DELETED), ("10.00", SEEN, NOW)],
            id="come back as it was",
        ),
        pytest.param(5, [("10.00", ALL, SEEN), ("20.00", SEEN, NOW)], id="changed undated"),
        pytest.param(6, [("10.00", ALL, DELETED)], id="deleted before the first run"),
        pytest.param(
            7,
            [("10.00", ALL, "2026-03-01 00:00:00"), ("20.00", "2026-03-01 00:00:00", DELETED)],
            id="changed and deleted between two runs",
        ),
        pytest.param(8, [("10.00", ALL, "2026-06-01 00:00:00")], id="sold, then deleted"),
        pytest.param(9, [("10.00", ALL, NOW)], id="new"),
        pytest.param(10, [("10.00", ALL, SEEN), ("20.00", SEEN, NOW)], id="changed, dated back"),
        pytest.param(
            11,
            # It was changed after the date of its old version and before it was missed.
            [("10.00", ALL, "2026-03-15 00:00:00"), ("30.00", "2026-03-15 00:00:00", NOW)],
            id="come back with a date before its deletion",
        ),
    ],
)
def test_versions_of_a_product(history: History, number: int, versions: list) -> None:
    sql = f"""
        select price, valid_from, valid_to from marts.dim_products
        where channel = 'app' and product_id = {number} order by valid_from
    """
    assert history.query(sql) == versions
    current = [valid_to == NOW for *_, valid_to in versions]
    sql = sql.replace("price, valid_from, valid_to", "is_current")
    assert history.query(sql) == [(is_current,) for is_current in current]


def test_names_of_categories_are_those_of_now(history: History) -> None:
    sql = "select distinct category_name, department_name from marts.dim_products"
    assert history.query(f"{sql} where channel = 'app'") == [("Light", "Home")]


def test_the_other_channels_products(history: History) -> None:
    sql = "select product_id, product_name, category_name, brand_name, status, price, valid_from"
    assert history.query(f"{sql} from marts.dim_products where channel = 'shopify'") == [
        (1, "Tee", "Shirts", "Lux", "active", None, ALL)
    ]


def test_versions_of_the_rest(history: History) -> None:
    change = "2026-05-01 00:00:00"
    assert history.query(
        "select promotion_id, promotion_name, price_treatment, valid_from, valid_to "
        "from marts.dim_promotions order by promotion_name, valid_from"
    ) == [
        (None, "No promotion", None, ALL, NOW),
        (1, "Tết", "10.00", ALL, change),
        (1, "Tết", "25.00", change, NOW),
        (None, "Unknown", None, ALL, NOW),
    ]
    assert history.query(
        "select channel, payment_id, payment_method, fee_rate, valid_from, valid_to "
        "from marts.dim_payments order by payment_method, valid_from"
    ) == [
        (None, None, "Unknown", None, ALL, NOW),
        ("app", 1, "cash", "0.025000", ALL, change),
        ("app", 1, "cash", "0.500000", change, NOW),
        ("shopify", None, "paypal", None, ALL, NOW),
    ]
    assert history.query(
        "select channel, seller_id, seller_name, valid_from, valid_to "
        "from marts.dim_sellers order by seller_name, valid_from"
    ) == [
        ("app", 1, "Shop", ALL, change),
        ("app", 1, "Shop & Co", change, NOW),
        ("shopify", None, "Shopify storefront", ALL, NOW),
        (None, None, "Unknown", ALL, NOW),
    ]


def test_dates(history: History) -> None:
    assert history.query("select count(*), min(date_day), max(date_day) from marts.dim_dates") == [
        (18263, "2000-01-01", "2049-12-31")
    ]
    columns = "calendar_year, calendar_quarter, calendar_month, day_of_month, day_of_week"
    names = "month_name, day_name, is_weekend, week_start, month_start"
    sql = f"select {columns}, {names} from marts.dim_dates where date_day"
    assert history.query(f"{sql} in ('2024-02-29', '2026-07-05') order by date_day") == [
        (2024, 1, 2, 29, 4, "February", "Thursday", False, "2024-02-26", "2024-02-01"),
        (2026, 3, 7, 5, 7, "July", "Sunday", True, "2026-06-29", "2026-07-01"),
    ]


R, S, L = "rainbow", "shopify", "lana"
ALONE = [(R, 2), (R, 3), (R, 4), (R, 5), (L, 5), (R, 6), (L, 6), (R, 7), (L, 7), (R, 8), (R, 11)]
ALONE += [(S, 2), (S, 3)]


def test_people_are_matched_by_address(history: History) -> None:
    assert history.people(0) == {
        frozenset({(R, 1), (S, 1), (L, 1)}),
        frozenset({(R, 9), (L, 9)}),
        frozenset({(R, 12), (R, 13)}),
        frozenset({(L, 10)}),
        *(frozenset({one}) for one in ALONE),
    }


def test_people_stay_who_they_are(history: History) -> None:
    """An address given up and taken by another merges nobody; one's own new address does."""
    assert history.people(2) == {
        frozenset({(R, 1), (S, 1), (L, 1)}),
        frozenset({(R, 9), (L, 9), (S, 9)}),
        frozenset({(R, 12), (R, 13)}),
        frozenset({(L, 10), (R, 10)}),
        frozenset({(L, 8)}),
        frozenset({(L, 11)}),
        *(frozenset({one}) for one in ALONE),
    }
    first, *_, last = history.persons
    assert first.items() <= last.items()


def test_one_row_for_a_person(history: History) -> None:
    columns = "rainbow_customer_id, shopify_customer_id, lana_customer_id, account_count"
    rows = history.query(
        f"select {columns}, is_deleted, customer_since from intermediate.int_persons"
    )
    assert len(rows) == len(history.people(2))
    assert {
        (1, 1, 1, 3, False, OPENED),
        (9, 9, 9, 3, False, OPENED),
        (10, None, 10, 2, False, "2025-01-01 00:00:00"),
        (11, None, None, 1, True, OPENED),
        (12, None, None, 2, False, OPENED),
        (None, 2, None, 1, False, "2026-01-02 00:00:00"),
    } <= set(rows)


def test_versions_of_a_person(history: History) -> None:
    """Accounts count from when they were opened; a change of name or address is no version."""
    columns = "rainbow_customer_id, shopify_customer_id, lana_customer_id, is_subscribed"

    def versions(system: str, number: int) -> list[tuple]:
        return history.query(
            f"""
            select {columns}, lana_status, valid_from, valid_to from marts.dim_customers
            where person_key = '{history.persons[2][system, number]}' order by valid_from
            """
        )

    assert versions(R, 1) == [
        (1, None, None, True, None, ALL, "2026-01-02 00:00:00"),
        (1, 1, None, True, None, "2026-01-02 00:00:00", "2026-01-03 00:00:00"),
        (1, 1, 1, True, "ACTIVE", "2026-01-03 00:00:00", "2026-05-06 00:00:00"),
        (1, 1, 1, False, "ACTIVE", "2026-05-06 00:00:00", "2026-05-07 00:00:00"),
        (1, 1, 1, False, "SUSPENDED", "2026-05-07 00:00:00", NOW),
    ]
    assert versions(L, 10) == [
        (None, None, 10, None, "ACTIVE", ALL, "2026-05-04 00:00:00"),
        (10, None, 10, False, "ACTIVE", "2026-05-04 00:00:00", NOW),
    ]
    assert versions(R, 11) == [(11, None, None, False, None, ALL, "2026-05-05 00:00:00")]
    # Of two accounts in one system the eldest counts.
    assert versions(R, 13) == [(12, None, None, False, None, ALL, NOW)]


def test_customer_identity_holds_who_is_there(history: History) -> None:
    persons = {key: account_ for account_, key in history.persons[2].items()}
    rows = history.query("from restricted.customer_identity")
    assert history.persons[2][R, 11] not in {key for key, *_ in rows}
    assert len(rows) == len(set(persons)) - 1
    by_person = {key: rest for key, *rest in rows}
    assert by_person[history.persons[2][R, 1]] == [
        *("Someone Else", "anna@example.com", None),
        *("Anna@Example.com ", "ANNA@example.com", " anna+lana@example.com"),
    ]
    assert by_person[history.persons[2][S, 2]] == ["Anna", None, None, None, None, None]
