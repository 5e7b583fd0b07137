import pytest
from headwater_project import project_in


@pytest.fixture(scope="module")
def project(tmp_path_factory, request):
    """A project of the module's own, its sandbox seeded and up; dbt tests only if it has CHECKS."""
    checks = getattr(request.module, "CHECKS", False)
    for project in project_in(tmp_path_factory.mktemp("project"), checks=checks):
        done = project.meltano("--log-level", "warning", "invoke", "sandbox", "up")
        assert done.code == 0, done.text
        yield project
