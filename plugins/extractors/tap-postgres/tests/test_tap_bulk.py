"""The bulk lane: what it lands and what it leaves in the state equal what rows do."""

import pytest

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def lanes(sync, in_bulk, warehouse):
    """Read a catalog by rows and in bulk, each into a warehouse of its own; the two warehouses."""

    def lanes(catalog, **config):
        landed = []
        for lane in ({}, in_bulk):
            recorder = sync(catalog, **config, **lane)
            assert ("BATCH" in recorder.kinds) == bool(lane), "rows went the other lane"
            landed.append(warehouse("bulk" if lane else "rows"))
            landed[-1].load(recorder)
        return landed

    return lanes


@pytest.fixture
def every_kind(every_type, execute):
    """Every type, with values that the warehouse can hold."""
    execute("create table shop.kinds as select * from kinds.every_type")
    execute("update shop.kinds set c_time = '23:59:59.999999' where c_time = '24:00'")
    execute("alter table shop.kinds add primary key (id)")


def test_every_type_lands_as_by_rows(every_kind, discover, lanes):
    rows, bulk = lanes(discover("shop-kinds"))
    assert bulk.rows("raw_shop.kinds") == rows.rows("raw_shop.kinds")
    assert len(rows.rows("raw_shop.kinds")[1]) == 3


def test_who_switches_lanes_changes_nothing(every_kind, discover, sync, in_bulk, warehouse):
    catalog = discover("shop-kinds")
    lanes = ({}, in_bulk, {}, in_bulk)
    for number, lane in enumerate(lanes):
        warehouse().load(sync(catalog, **lane))
        assert warehouse().counts() == ((3, 0, 0, 3, 0) if number else (3, 3, 0, 0, 0))
