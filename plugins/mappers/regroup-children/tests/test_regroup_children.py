"""Each child lands with its parent, in the order it was sent, to the last byte; a STATE leaves only
behind all that came before it."""

import io
import json
import random
import subprocess
import sys

import pytest
from headwater_regroup_children import mapper

CHILDREN = {"orders": ["lineItems", "discountApplications"]}
SCHEMA = b'{"type": "SCHEMA", "stream": "orders", "schema": {}, "key_properties": ["id"]}\n'
STATE = b'{"type": "STATE", "value": {"bookmarks": {"orders": {"at": 1.50}}}}\n'
# None of them survives a float, or another's way to write JSON.
NUMBERS = ("12345678901234567890.123456789", "1.10", "1E2", "-0.0", "0.1e-7", "1e400")
EXECUTABLE = (sys.executable, "-c", "from headwater_regroup_children.mapper import main; main()")


def gid(number: int) -> str:
    return f"gid://shopify/Order/{number}"


def line_item(number: int, parent: int) -> str:
    price = NUMBERS[number % len(NUMBERS)]
    return (
        f'{{"id": "gid://shopify/LineItem/{number}", "title": "Pho\\u031b \\"{number}\\" \\/", '
        f'"price": {price},  "variant": null, "__parentId": "{gid(parent)}"}}'
    )


def discount(number: int, parent: int) -> str:
    return f'{{"__typename": "Code", "index": {number}, "__parentId": "{gid(parent)}"}}'


def order(number: int, lines: list[str], discounts: list[str] | None = None) -> bytes:
    """A RECORD line as the tap writes it."""
    total = NUMBERS[number % len(NUMBERS)]
    return (
        f'{{"type": "RECORD", "stream": "orders", "record": {{"id": "{gid(number)}", '
        f'"total": {total}, "name": "#{number} \\u1ec7", "lineItems": [{", ".join(lines)}], '
        f'"discountApplications": [{", ".join(discounts or [])}], "test": false}}, '
        f'"time_extracted": "2026-11-26T02:00:00.000000Z"}}\n'
    ).encode()


def mapped(*lines: bytes) -> list[bytes]:
    out = io.BytesIO()
    assert mapper.regroup(lines, out, CHILDREN) == 0
    return out.getvalue().splitlines(keepends=True)


def as_the_tap_gives_it(sent: list[tuple[int, str | None, str]]) -> list[bytes]:
    """The RECORD lines of a bulk operation's output: (order, field or None for itself, child)."""
    records: list[tuple[int, list[str], list[str]]] = []
    for number, field, child in sent:
        if field is None:
            records.append((number, [], []))
        else:
            records[-1][1 + CHILDREN["orders"].index(field)].append(child)
    return [order(*record) for record in records]


def shop(size: int) -> list[list[tuple[int, str | None, str]]]:
    """The output of a bulk operation, by order, as it is when it is grouped."""
    return [
        [
            (number, None, ""),
            *((number, "lineItems", line_item(10 * number + i, number)) for i in range(number % 4)),
            *((number, "discountApplications", discount(i, number)) for i in range(number % 3)),
        ]
        for number in range(1, size + 1)
    ]


def test_what_is_grouped_passes_byte_for_byte():
    lines = [
        SCHEMA,
        *as_the_tap_gives_it([line for lines in shop(9) for line in lines]),
        b'{"type":"RECORD","stream":"orders","record":{"id":"gid://shopify/Order/99"}}\n',
        b'{"type": "RECORD", "stream": "orders", "record": {"id": "x", "lineItems": null}}\n',
        STATE,
        b'{"type": "ACTIVATE_VERSION", "stream": "orders", "version": 1}\n',
        b' {"type":"SOMETHING NEW", "stream": "orders"} \n',
    ]
    assert mapped(*lines) == lines


@pytest.mark.parametrize("how", ["at the end", *range(20)])
def test_children_that_came_anywhere_behind_their_parent_are_with_it(how):
    orders = shop(12)
    grouped = as_the_tap_gives_it([line for lines in orders for line in lines])
    if how == "at the end":
        sent = [lines[0] for lines in orders] + [line for lines in orders for line in lines[1:]]
    else:
        # A merge of all orders' lines, each order's own staying in their order.
        chance, sent = random.Random(how), []
        waiting = [list(lines) for lines in orders]
        while waiting := [lines for lines in waiting if lines]:
            sent.append(chance.choice(waiting[:3]).pop(0))
    expected = dict(enumerate(grouped, 1))
    assert mapped(SCHEMA, *as_the_tap_gives_it(sent), STATE) == [
        *(SCHEMA, *(expected[number] for number, field, _ in sent if field is None), STATE),
    ]


def test_only_records_that_give_or_take_are_written_anew():
    apart = order(1, [])
    between = order(2, [line_item(21, 2)])
    last = order(3, [line_item(31, 3), line_item(11, 1)])
    between = between.replace(b'", "', b'","')  # as no record is that is written anew
    assert mapped(apart, between, last, STATE) == [
        *(order(1, [line_item(11, 1)]), between, order(3, [line_item(31, 3)]), STATE),
    ]


def test_a_state_leaves_behind_all_that_came_before_it_and_nothing_else_waits():
    other = b'{"type": "RECORD", "stream": "customers", "record": {"id": 1.10}}\n'
    out, written = io.BytesIO(), []

    def lines():
        for line in (STATE, order(1, []), other, order(2, [line_item(11, 1)]), STATE, other):
            yield line
            written.append(out.getvalue().count(b"\n"))

    assert mapper.regroup(lines(), out, CHILDREN) == 0
    assert written == [1, 1, 2, 2, 5, 6]
    assert [json.loads(line)["type"] for line in out.getvalue().splitlines()] == [
        *("STATE", "RECORD", "RECORD", "RECORD", "STATE", "RECORD"),
    ]


@pytest.mark.parametrize("closing", [STATE, SCHEMA])
def test_each_window_is_closed_by_itself(closing):
    window = [order(1, []), order(2, [line_item(11, 1)]), closing]
    closed = [order(1, [line_item(11, 1)]), order(2, []), closing]
    assert mapped(*window, *window) == [*closed, *closed]


def test_a_child_whose_parent_has_not_come_is_not_loaded_elsewhere():
    out = io.BytesIO()
    stray = order(2, [line_item(11, 1), line_item(12, 1), line_item(71, 7)])
    with pytest.raises(mapper.MapError) as error:
        mapper.regroup([SCHEMA, stray, STATE], out, CHILDREN)
    assert str(error.value) == (
        "what 3 nested objects belong to has not come: gid://shopify/Order/1, "
        "gid://shopify/Order/7; nothing that came with them is loaded: run again"
    )
    assert out.getvalue() == SCHEMA


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (order(1, ['{"id": "gid://shopify/LineItem/1"}']), "required field `__parentId`"),
        (order(1, ['{"__parentId": null}']), "Expected `str`, got `null`"),
        (order(1, [])[:-9], "Input data was truncated"),
        (b"Traceback (most recent call last):\n", "JSON is malformed"),
        (b'{"type": "RECORD", "stream": "orders", "record": {}}\n', "('id')"),
    ],
)
def test_what_cannot_be_placed_is_refused(line, said):
    out = io.BytesIO()
    with pytest.raises(mapper.MapError) as error:
        mapper.regroup([STATE, line, STATE], out, CHILDREN)
    assert str(error.value).startswith("line 2 of the input cannot be mapped (")
    assert said in str(error.value)
    assert out.getvalue() == STATE


# The command.


@pytest.fixture
def command(tmp_path):
    """Run it on these lines; its exit code, what it wrote, and what it said."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"children": CHILDREN, "namespace": "x"}))

    def run(*lines: bytes) -> tuple[int, bytes, str]:
        done = subprocess.run(
            [*EXECUTABLE, "--config", config], input=b"".join(lines), capture_output=True
        )
        return done.returncode, done.stdout, done.stderr.decode()

    return run


def test_the_command_maps(command):
    lines = [SCHEMA, order(1, [line_item(11, 1)]), STATE]
    assert command(*lines) == (0, b"".join(lines), "")


def test_records_whose_state_never_comes_are_not_passed_on(command):
    # Their children may not have come either; the next run reads them again.
    assert command(SCHEMA, order(1, []), order(2, [])) == (
        *(1, SCHEMA),
        "2 records wait for their STATE and are not passed on\n",
    )


def test_an_error_is_one_line(command):
    code, out, said = command(SCHEMA, order(2, [line_item(11, 1)]), STATE)
    assert (code, out) == (1, SCHEMA)
    assert said.startswith("Error: what 1 nested objects belong to has not come: gid://")
    assert said.count("\n") == 1


MEASURED = """
import io
from pathlib import Path
from headwater_regroup_children import mapper

def lines():
    for n in range(10_000):
        yield b'{"type":"RECORD","stream":"orders","record":{"id":"%d%s"}}' % (n, b"x" * 4000)
    yield b'{"type":"STATE"}'

class Nowhere(io.RawIOBase):
    size = 0

    def write(self, data):
        self.size += len(data)

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

mapper.CACHE_KIB = 4 << 10
before = peak()
out = Nowhere()
assert mapper.regroup(lines(), out, {"orders": ["lineItems"]}) == 0
assert out.size > 40_000_000
print((peak() - before) / mapper.CACHE_KIB)
"""


def test_what_waits_is_not_all_in_memory():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout) < 3
