"""Three days of business, and then the warehouse built anew from what the sources say now.

The new one knows no history: each member of a dimension has one version. All else is equal.
"""

from collections import Counter
from pathlib import Path

import duckdb
import pytest
from headwater_project import Project

pytestmark = pytest.mark.slow

# What is history, or was loaded at another time.
VERSIONS = ["product_key", "seller_key", "customer_key", "promotion_key", "payment_key"]
NEVER_EQUAL = {
    "fct_orders": ["customer_key", "payment_key", "loaded_at"],
    "fact_sales": [*VERSIONS, "loaded_at"],
    "fct_facilities": ["customer_key"],
    "fct_transactions": ["customer_key"],
    "fct_disbursals": ["customer_key"],
    "fct_payments": ["customer_key"],
}
# The shop takes a deleted product from the lines of its orders, which stay as old as they were: the
# first still knows what was sold.
STILL_SOLD = (
    "channel = 'app' or product_id in (select product_id from staging.stg_shopify__products)"
)
SHOWN = {
    "int_order_lines": f"* replace (case when {STILL_SOLD} then product_id end as product_id)",
}
DIMENSIONS = {
    "dim_products": "channel, product_id",
    "dim_sellers": "channel, seller_id",
    "dim_promotions": "promotion_id",
    "dim_payments": "channel, payment_id, payment_method",
    "dim_customers": "person_key",
}
# A person whose e-mail changed may be found to be another one; a product that is gone had a seller.
EQUAL = {
    "intermediate": ["int_order_lines", "int_orders", "int_customer_metrics"]
    + ["int_facility_performance"],
    "marts": [*NEVER_EQUAL, "dim_dates"],
    "reporting": ["total_sales", "sales_by_day_of_week", "payment_methods", "financial_summary"],
}


@pytest.fixture(scope="module")
def warehouses(project: Project) -> tuple[Path, Path, dict[int, str]]:
    """One that has seen three days, one that has not; and the prices of the app before them."""
    done = project.nightly()
    assert done.code == 0, done.text
    with duckdb.connect(str(project.warehouse), read_only=True) as warehouse:
        prices = dict(
            warehouse.execute("select product_id, price from raw_rainbow.products").fetchall()
        )
    for _ in range(3):
        project.tick()
        done = project.nightly()
        assert done.code == 0, done.text
    grown = project.warehouse.rename(project.output / "grown.duckdb")
    (project.output / "state").rename(project.output / "state-of-grown")
    done = project.nightly()
    assert done.code == 0, done.text
    return grown, project.warehouse, prices


def rows(path: Path, relation: str) -> Counter:
    name = relation.partition(".")[2]
    without = ", ".join(NEVER_EQUAL.get(name, []))
    columns = SHOWN.get(name, f"* exclude ({without})" if without else "*")
    with duckdb.connect(str(path), read_only=True) as warehouse:
        return Counter(warehouse.execute(f"select {columns} from {relation}").fetchall())


@pytest.mark.parametrize(
    "relation", [f"{schema}.{name}" for schema, names in EQUAL.items() for name in names]
)
def test_what_is_no_history_is_equal(
    warehouses: tuple[Path, Path, dict[int, str]], relation: str
) -> None:
    grown, new, _ = warehouses
    found = rows(grown, relation)
    assert found
    assert found == rows(new, relation)


def test_history_is_kept_by_the_first(warehouses: tuple[Path, Path, dict[int, str]]) -> None:
    grown, new, prices = warehouses
    for name, keys in DIMENSIONS.items():
        key = name.removeprefix("dim_").removesuffix("s") + "_key"
        count = f"""
            select count(*), count(distinct ({keys})) from marts.{name}
            where {key} not in ('unknown', 'none')
        """
        with duckdb.connect(str(new), read_only=True) as warehouse:
            versions, members = warehouse.execute(count).fetchone()
        with duckdb.connect(str(grown), read_only=True) as warehouse:
            grown_versions, grown_members = warehouse.execute(count).fetchone()
        # Of a person there is a version for each system that came to know them; and those whose
        # accounts had one address once are one person to the first only.
        if name != "dim_customers":
            assert versions == members <= grown_members
        assert grown_versions - grown_members > versions - members or name == "dim_payments"


def test_a_sale_names_the_price_of_its_time(
    warehouses: tuple[Path, Path, dict[int, str]],
) -> None:
    """Products that were given another price since: their old sales still name the old one."""
    grown, new, prices = warehouses
    named = """
        select distinct product_id, dim_products.price
        from marts.fact_sales join marts.dim_products using (product_key)
        where fact_sales.channel = 'app' and sold_at < '2026-07-01' and product_id in (
            select product_id from marts.dim_products where channel = 'app'
            group by product_id having count(distinct price) > 1)
    """
    with duckdb.connect(str(grown), read_only=True) as warehouse:
        found = warehouse.execute(named).fetchall()
    assert found
    assert found == [(product, prices[product]) for product, _ in found]
    with duckdb.connect(str(new), read_only=True) as warehouse:
        changed = ", ".join(str(product) for product, _ in found)
        now = dict(
            warehouse.execute(
                "select product_id, price from marts.dim_products where is_current "
                f"and channel = 'app' and product_id in ({changed})"
            ).fetchall()
        )
    assert any(now[product] != price for product, price in found if product in now)
