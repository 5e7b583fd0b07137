"""BigQuery's statements and types, where a word decides, and what is staged before them."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.auth.credentials import AnonymousCredentials
from headwater_target_warehouse.bigquery import BigQueryWarehouse, label
from headwater_target_warehouse.bigquery_sql import BIGNUMERIC, BigQuerySQL
from headwater_target_warehouse.errors import LoadError
from headwater_target_warehouse.schema import JSON, NUMERIC, table_from_schema

SQL = BigQuerySQL("p", "x_")


def table(*keys: str, **properties: dict):
    return table_from_schema("a-b", {"properties": properties}, list(keys), default_schema="raw")


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (NUMERIC, "numeric"),
        (pa.decimal128(12, 2), "numeric(12, 2)"),
        (pa.decimal128(29, 0), "numeric(29, 0)"),
        (pa.decimal128(30, 0), "bignumeric(30, 0)"),
        (pa.decimal128(20, 10), "bignumeric(20, 10)"),
        (pa.decimal256(76, 38), "bignumeric"),
        (pa.decimal256(50, 20), "bignumeric(50, 20)"),
    ],
)
def test_exact_numbers_are_numeric_while_they_fit(type_, name):
    assert SQL.type_name(type_) == name


@pytest.mark.parametrize("type_", [pa.decimal256(60, 10), pa.decimal256(76, 39)])
def test_more_digits_than_bigquery_has_are_refused(type_):
    with pytest.raises(LoadError, match=r"x-sql-datatype: text"):
        SQL.type_name(type_)


def test_a_table_is_clustered_by_its_key():
    columns = {"a": pa.int64(), "f": pa.float64(), "b": pa.string()}
    sql = SQL.create_table_sql("raw_a", "t", columns, ("b", "f", "a"))
    assert sql.startswith("create table if not exists `p`.`x_raw_a`.`t` (")
    assert sql.endswith(" cluster by `b`, `a`")


def test_no_more_than_four_columns_cluster():
    columns = dict.fromkeys("abcde", pa.int64())
    assert SQL.create_table_sql("s", "t", columns, tuple("abcde")).endswith(
        " cluster by `a`, `b`, `c`, `d`"
    )


@pytest.mark.parametrize(
    ("held", "wider", "in_place"),
    [
        (pa.int64(), NUMERIC, True),
        (pa.int64(), BIGNUMERIC, True),
        (pa.int64(), pa.float64(), True),
        (pa.decimal128(10, 2), pa.decimal128(12, 2), True),
        (pa.decimal128(10, 2), NUMERIC, True),
        (pa.int64(), pa.decimal128(21, 2), False),
        (NUMERIC, pa.decimal256(50, 20), False),
        (pa.int64(), pa.string(), False),
    ],
)
def test_a_column_is_widened_in_place_where_bigquery_can(held, wider, in_place):
    columns = {"id": pa.int64(), "c": held, "d": pa.decimal128(10, 2)}
    sql = SQL.widen_sql(table("id", id={"type": "integer"}, c={}), columns, "c", wider)
    name = SQL.type_name(wider)
    if in_place:
        assert sql == f"alter table `p`.`x_raw_a`.`b` alter column `c` set data type {name}"
    else:
        bare = name.partition("(")[0]
        assert sql == (
            f"create or replace table `p`.`x_raw_a`.`b` (`id` int64, `c` {name}, "
            f"`d` numeric(10, 2)) cluster by `id` as select `id`, cast(`c` as {bare}) as `c`, `d` "
            "from `p`.`x_raw_a`.`b`"
        )


def test_a_key_is_not_widened_in_place():
    sql = SQL.widen_sql(table("id", id={"type": "integer"}), {"id": pa.int64()}, "id", NUMERIC)
    assert sql.startswith("create or replace table")


def test_json_and_bignumeric_are_staged_as_text_and_converted_on_the_way():
    big = {"type": "number", "x-sql-datatype": "numeric(40, 20)"}
    mixed = table("id", id={"type": "integer"}, j={"type": "object"}, n=big)
    assert SQL.staging_type(JSON) == SQL.staging_type(pa.decimal256(40, 20)) == pa.string()
    assert SQL.staging_type(pa.decimal128(12, 2)) == NUMERIC
    view = SQL.create_parsed_view_sql("`v`", "`s`", mixed)
    assert "parse_json(`j`, wide_number_mode => 'round') as `j`" in view
    assert "cast(`n` as bignumeric) as `n`" in view
    assert SQL.create_parsed_view_sql("`v`", "`s`", table("id", id={"type": "integer"})) is None


def test_text_in_a_statement_is_quoted():
    assert SQL.literal("""a"b'c\\d\ne""") == r'''"a\"b'c\\d\ne"'''
    assert SQL.literal(None) == "null"


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("rainbow-orders", "rainbow-orders"),
        ("Đơn hàng:1", "__n_h_ng_1"),
        ("x" * 70, "x" * 63),
    ],
)
def test_labels_keep_bigquerys_rules(value, made):
    assert label(value) == made


def test_a_batch_file_is_staged_with_bigquerys_types_in_its_order(tmp_path):
    big = {"type": "number", "x-sql-datatype": "numeric(40, 20)"}
    cents = {"type": "number", "x-sql-datatype": "numeric(12, 2)"}
    batch = table("id", id={"type": "integer"}, j={"type": "object"}, n=big, m=cents, gone={})
    path = tmp_path / "batch.parquet"
    rows = {
        "id": pa.array([2, 1], pa.int32()),
        "j": pa.array(['{"a": 1}', None]),
        "n": pa.array([Decimal("1.00000000000000000001"), None], pa.decimal256(40, 20)),
        "m": pa.array([Decimal("1.25"), None], pa.decimal128(12, 2)),
    }
    pyarrow.parquet.write_table(pa.table(rows), path)
    with BigQueryWarehouse("p", credentials=AnonymousCredentials()) as warehouse:
        metadata = {"_sdc_sequence": 7, "_sdc_table_version": 5}
        assert warehouse.stage_parquet(batch, path, metadata) == 2
        staged = warehouse._staged["a-b"]
        staged.writer.close()
        found = pyarrow.parquet.read_table(staged.path)
    assert found.schema.field("m").type == NUMERIC
    assert found.select(["id", "j", "n", "m", "gone"]).to_pylist() == [
        {
            "id": 2,
            "j": '{"a": 1}',
            "n": "1.00000000000000000001",
            "m": Decimal("1.25"),
            "gone": None,
        },
        {"id": 1, "j": None, "n": None, "m": None, "gone": None},
    ]
    assert found["_sdc_sequence"].to_pylist() == [7, 8]
    assert found["_sdc_table_version"].to_pylist() == [5, 5]


def test_a_batch_file_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "batch.parquet"
    pyarrow.parquet.write_table(pa.table({"id": [1.5]}), path)
    with (
        BigQueryWarehouse("p", credentials=AnonymousCredentials()) as warehouse,
        pytest.raises(LoadError, match=r"a-b\.id: the batch file's double does not fit int64"),
    ):
        warehouse.stage_parquet(table("id", id={"type": "integer"}), path, {"_sdc_sequence": 1})
