import os

import pytest
from dbt_project import Project, built_once
from headwater_project import project_in


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A warehouse that dbt has built, the same one for all tests. Not to be written to: copy it."""
    folder = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return built_once((folder.parent if is_worker else folder) / "dbt")


@pytest.fixture(scope="module")
def project(tmp_path_factory, request):
    """A project of the module's own, its sandbox seeded and up; dbt tests only if it has CHECKS."""
    checks = getattr(request.module, "CHECKS", False)
    for project in project_in(tmp_path_factory.mktemp("project"), checks=checks):
        done = project.meltano("--log-level", "warning", "invoke", "sandbox", "up")
        assert done.code == 0, done.text
        yield project
