"""The shop through the unmodified tap into the warehouse: what is asked for, and what lands.

Only what is loaded is looked at; a sandbox without Postgres will do.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import graphql
import pytest
import yaml
from headwater_project import ROOT, project_in
from headwater_sandbox.shopify import data, schema, store
from shop_documents import KINDS, LOAD, differs, landed, sent
from shop_tables import make_shop_tables

(TAP,) = (
    plugin
    for plugin in yaml.safe_load((ROOT / "extract/extractors.meltano.yml").read_text())["plugins"][
        "extractors"
    ]
    if plugin["name"] == "tap-shopify"
)
SELECTED: dict[str, set[str]] = {}
for pattern in TAP["select"]:
    stream, field, *_ = pattern.split(".")
    SELECTED.setdefault(stream, set()).add(field)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A project whose shop has been loaded once, and what the run said."""
    for project in project_in(tmp_path_factory.mktemp("shop")):
        project.open_shop(0.1)
        done = project.meltano(*LOAD)
        assert done.code == 0, done.text
        yield project, done


def test_every_row_lands_as_it_was_sent(loaded):
    project, _ = loaded
    ours, theirs = landed(project), sent(project)
    assert {stream: rows.keys() for stream, rows in ours.items()} == {
        stream: rows.keys() for stream, rows in theirs.items()
    }
    assert all(ours.values())
    found = [
        told
        for stream, rows in ours.items()
        for id_, row in rows.items()
        for told in differs(row, theirs[stream][id_], f"{stream} {id_}")
    ]
    assert found == []


def test_no_amount_has_passed_through_a_float(loaded):
    project, _ = loaded
    ours = landed(project)
    amounts: Counter = Counter()

    def look(value: Any, path: str) -> None:
        match value:
            case {"shopMoney": money, **rest}:
                assert rest == {}, "what the customer paid in is not asked for"
                assert money.keys() == {"amount", "currencyCode"}
                assert isinstance(money["amount"], str), path
                amounts[path] += 1
            case dict():
                for key, item in value.items():
                    look(item, f"{path}.{key}")
            case list():
                for item in value:
                    look(item, path)

    for stream, rows in ours.items():
        for row in rows.values():
            look(row, stream)
    assert {path.partition(".")[0] for path in amounts} == {
        *("orders", "transactions", "order_refunds"),
    }
    assert "orders.lineItems.discountAllocations.allocatedAmountSet" in amounts
    # More digits than a double has; `differs` has compared them with what was sent.
    texts = [row["totalPriceSet"]["shopMoney"]["amount"] for row in ours["orders"].values()]
    assert any(Decimal(float(text)) != Decimal(text) for text in texts)
    assert all(isinstance(row["price"], Decimal) for row in ours["product_variants"].values())


def test_lists_and_booleans_are_real(loaded):
    project, _ = loaded
    ours = landed(project)
    tags = [row["tags"] for row in ours["products"].values()]
    assert all(isinstance(some, list) for some in tags)
    assert any("'" in tag or '"' in tag for some in tags for tag in some)
    assert all(isinstance(row["taxesIncluded"], bool) for row in ours["orders"].values())


def test_columns_have_the_types_that_the_models_are_tested_with(loaded, tmp_path):
    project, _ = loaded
    made = tmp_path / "made.duckdb"
    make_shop_tables(made, {})
    ours, theirs = (
        duckdb.execute(
            f"attach '{path}' as {name} (read_only); select table_name, column_name, data_type "
            f"from duckdb_columns() where database_name = '{name}' and schema_name = 'raw_shopify'"
        ).fetchall()
        for name, path in (("landed", project.warehouse), ("made", made))
    )
    assert {*ours} == {*theirs}


def test_each_line_says_whose_it_is(loaded):
    project, _ = loaded
    for order in landed(project)["orders"].values():
        assert order["lineItems"]
        for part in order["lineItems"] + order["discountApplications"]:
            assert part["__parentId"] == order["id"]


def test_what_is_not_selected_is_not_asked_for_and_has_no_column(loaded):
    project, done = loaded
    ours = landed(project)
    assert {stream: {*next(iter(rows.values()))} for stream, rows in ours.items()} == SELECTED
    asked = dict(re.findall(r"GraphQL query for stream '(\w+)': (.*)", done.text))
    assert asked.keys() == {"customers", "orders", "product_variants", "products"}
    for field in ("note", "addresses", "defaultAddress", "displayName"):
        assert not re.search(rf"\b{field}\b", asked["customers"])
    for field in ("clientIp", "billingAddress", "shippingAddress", "phone", "note", "app"):
        # A customer's own parts cannot be left out of the query; they do not leave the tap.
        assert not re.search(rf"\b{field}\b", re.sub(r"customer \{.*?\} \}", "", asked["orders"]))


# What the tap asks, without the fields that are unread; null is all that it can ask.
QUERIES = """
import json, sys, tap_shopify
from tap_shopify.context import Context
Context.config = {"start_date": "2015-01-01T00:00:00Z"}
schemas, asked = tap_shopify.load_schemas(), {}
for stream, read in json.loads(sys.argv[1]).items():
    every = schemas[stream]["properties"].keys() - {"author"}
    unread = every - set(every if read is None else read)
    asked[stream] = Context.stream_objects[stream]().remove_fields_from_query(list(unread))
print(json.dumps(asked))
"""


@pytest.mark.parametrize(
    ("is_all", "refused"),
    [
        (False, {}),
        (
            True,
            {
                ("2026-04", "orders"): [
                    "Cannot query field 'permitsSkuSharing' on type 'FulfillmentService'."
                ]
            },
        ),
    ],
)
def test_every_query_is_valid_in_shopifys_versions(loaded, is_all, refused):
    project, _ = loaded
    read = {stream: None if is_all else sorted(fields) for stream, fields in SELECTED.items()}
    python = project.root / ".meltano/extractors/tap-shopify/venv/bin/python"
    done = subprocess.run(
        [python, "-c", QUERIES, json.dumps(read)], capture_output=True, text=True, check=True
    )
    asked = {stream: graphql.parse(query) for stream, query in json.loads(done.stdout).items()}
    assert asked.keys() == KINDS.keys()
    assert schema.VERSIONS == ("2025-07", "2025-10", "2026-01", "2026-04")
    errors = {
        (version, stream): [one.message for one in graphql.validate(schema.load(version), query)]
        for version in schema.VERSIONS
        for stream, query in asked.items()
    }
    assert {where: told for where, told in errors.items() if told} == refused


def test_orders_say_of_a_person_nothing_but_the_id(loaded):
    project, _ = loaded
    people = sent(project)["customers"].values()
    known = {person[key] for person in people for key in ("email", "phone") if person.get(key)}
    assert len(known) > 50
    ours = landed(project)
    for stream in ("orders", "transactions", "order_refunds"):
        text = json.dumps(ours[stream], default=str, ensure_ascii=False)
        assert [word for word in known if word in text] == []
    customers = [row["customer"] for row in ours["orders"].values()]
    assert None in customers
    assert all(customer.keys() == {"id"} for customer in customers if customer)


def test_the_next_run_reads_what_changed(loaded):
    project, _ = loaded
    before = landed(project)
    with store.connect(project.shop.store) as connection:
        data.tick(connection)
    done = project.meltano(*LOAD)
    assert done.code == 0, done.text
    after, theirs = landed(project), sent(project)
    assert {stream: rows.keys() for stream, rows in after.items()} == {
        stream: rows.keys() | before[stream].keys() for stream, rows in theirs.items()
    }
    assert len(after["orders"]) > len(before["orders"])
    received = dict(re.findall(r"target-duckdb (\w+): ([\d,]+) rows received", done.text))
    assert received.keys() == KINDS.keys()
    for stream, rows in after.items():
        changed = sum(before[stream].get(id_) != row for id_, row in rows.items())
        # The row at the bookmark comes again.
        assert changed <= int(received[stream].replace(",", "")) < len(rows) / 2
        assert [differs(row, theirs[stream][i]) for i, row in rows.items() if i in theirs[stream]][
            0
        ] == []


# The wrapper alone, with a stub in the tap's place.

STUB = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


@pytest.fixture
def wrapper(tmp_path):
    """Run extract/tap-shopify; what it started the tap with, or its last words."""
    stub = tmp_path / "bin/tap-shopify"
    stub.parent.mkdir()
    stub.write_text(f"#!{sys.executable}\n{STUB}\n")
    stub.chmod(0o755)
    (tmp_path / "output/sandbox/shopify").mkdir(parents=True)
    (tmp_path / "output/sandbox/shopify/ports.json").write_text('{"proxy": 5}')

    def run(*arguments: str, **environment: str) -> tuple[list[str], dict[str, str]] | str:
        done = subprocess.run(
            [sys.executable, ROOT / "extract/tap-shopify", *arguments],
            env={
                "PATH": f"{stub.parent}:/usr/bin:/bin",
                "MELTANO_PROJECT_ROOT": str(tmp_path),
                "MELTANO_ENVIRONMENT": "dev",
                "SHOPIFY_SHOP": "rainbow-sandbox",
            }
            | environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == (not done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


@pytest.mark.parametrize("environment", ["dev", "emulator", "bigquery"])
def test_the_sandbox_shop_is_reached_through_the_proxy(wrapper, tmp_path, environment):
    _, env = wrapper("--discover", MELTANO_ENVIRONMENT=environment, NO_PROXY="*", no_proxy="*")
    authority = str(tmp_path / "output/sandbox/shopify/ca.pem")
    assert env["https_proxy"] == "http://127.0.0.1:5"
    assert (env["SSL_CERT_FILE"], env["REQUESTS_CA_BUNDLE"]) == (authority, authority)
    assert not {"NO_PROXY", "no_proxy"} & env.keys()


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_shop_of_ones_own_is_reached_as_ever(wrapper, environment):
    own = {"SHOPIFY_SHOP": "acme", "SHOPIFY_CLIENT_ID": "app", "NO_PROXY": "intranet"}
    arguments, env = wrapper("--discover", MELTANO_ENVIRONMENT=environment, **own)
    assert arguments == ["--discover"]
    assert not {"https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"} & env.keys()
    assert env["NO_PROXY"] == "intranet"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"MELTANO_ENVIRONMENT": "prod"},
            "Error: set SHOPIFY_SHOP to the company's store, or leave tap-shopify out\n",
        ),
        (
            {"MELTANO_ENVIRONMENT": "prod", "SHOPIFY_SHOP": ""},
            "Error: set SHOPIFY_SHOP to the company's store, or leave tap-shopify out\n",
        ),
        (
            {"SHOPIFY_SHOP": "acme"},
            "Error: acme.myshopify.com needs a login: set SHOPIFY_ACCESS_TOKEN, or "
            "SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET\n",
        ),
        (
            {"SANDBOX_DIR": "elsewhere"},
            "Error: the sandbox's shop is down: run sandbox up, or set SHOPIFY_SHOP\n",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(wrapper, environment, said):
    assert wrapper("--discover", **environment) == said


def test_the_catalog_that_meltano_keeps_is_left_as_it_is(wrapper, tmp_path):
    properties = {name: {"type": ["string"]} for name in ("id", "read", "unread", "nested")}
    catalog = {
        "streams": [
            {
                "tap_stream_id": "orders",
                "schema": {"type": "object", "properties": properties},
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": True}},
                    *(
                        {"breadcrumb": ["properties", name], "metadata": metadata}
                        for name, metadata in {
                            "id": {"inclusion": "automatic", "selected": False},
                            "read": {"inclusion": "available", "selected": True},
                            "unread": {"inclusion": "available", "selected": False},
                            "nested": {"inclusion": "unsupported"},
                        }.items()
                    ),
                ],
            }
        ]
    }
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog))
    arguments, _ = wrapper("--config", "c.json", "--catalog", str(path), "--state", "s.json")
    assert json.loads(path.read_text()) == catalog
    assert arguments[:3] == ["--config", "c.json", "--catalog"]
    assert arguments[4:] == ["--state", "s.json"]
    (stream,) = json.loads(Path(arguments[3]).read_text())["streams"]
    types = {name: schema["type"] for name, schema in stream["schema"]["properties"].items()}
    assert types == {"id": ["string"], "read": ["string"], "unread": ["null"], "nested": ["null"]}
