import os
from pathlib import Path

import pytest
from dbt_project import Project, make_raw_layer, once, parsed_in
from headwater_project import project_in


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test session: one for all of its processes."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def parsed(shared: Path) -> Project:
    """A dbt project that is parsed, the same for all tests. Not to be written to: copy it."""
    return once(shared / "parsed", parsed_in)


@pytest.fixture(scope="session")
def built(shared: Path, parsed: Project) -> Project:
    """One whose warehouse dbt has built, of `ROWS`, the same for all tests. Copy it as well."""

    def build(folder: Path) -> Project:
        project = parsed.copy(folder)
        make_raw_layer(project.warehouse)
        result = project.dbt("build")
        assert result.returncode == 0, result.stdout
        assert "deprecat" not in result.stdout.lower()
        return project

    project = once(shared / "built", build)
    assert project.results("error", "fail", "warn", "skipped") == set()
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory, request):
    """A project of the module's own, its sandbox seeded and up; dbt tests only if it has CHECKS."""
    checks = getattr(request.module, "CHECKS", False)
    for project in project_in(tmp_path_factory.mktemp("project"), checks=checks):
        done = project.meltano("--log-level", "warning", "invoke", "sandbox", "up")
        assert done.code == 0, done.text
        yield project
