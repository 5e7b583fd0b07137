from pathlib import Path

import pytest
from singer_messages import Loader


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path / "warehouse.duckdb")
