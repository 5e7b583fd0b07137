import pytest
from headwater_project import project_in


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of the module's own, its sandbox seeded and up."""
    for project in project_in(tmp_path_factory.mktemp("project")):
        done = project.meltano("--log-level", "warning", "invoke", "sandbox", "up")
        assert done.code == 0, done.text
        yield project
