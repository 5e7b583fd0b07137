"""The Singer SDK's own tests of a target."""

from headwater_target_warehouse.duckdb import TargetDuckDB
from singer_sdk.testing import get_target_test_class

TestStandard = get_target_test_class(TargetDuckDB, config={"path": ":memory:"})
