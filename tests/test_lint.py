"""Each lint hook finds what it is there to find, and leaves a sound file alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRE_COMMIT = Path(sys.executable).with_name("pre-commit")
MODEL = "transform/models/staging/lana/stg_lana__customers.sql"
SQL = (ROOT / MODEL).read_text()

SOUND = {
    "sound.py": "import os\n\nprint(os.sep)\n",
    "sound.yaml": "key: [1, 2]\n",
    "load/sound.meltano.yml": (
        "plugins:\n  loaders:\n    - name: target-x\n      namespace: target_x\n"
    ),
    "sound.env": "POSTGRES_PASSWORD=headwater\n",
    MODEL: SQL,
}
# Hook, file, text, and what the hook says about it.
FAULTS = [
    ("sqlfluff", MODEL, SQL.replace("as customer_name", "as customer_name".upper()), "CP0"),
    ("sqlfluff", MODEL, SQL.replace("from source", "from {{ ref('no_such_model') }}"), "no_such"),
    ("ruff-check", "fault.py", "import os\n", "F401"),
    ("ruff-format", "fault.py", "x = {'a':1}\n", "would be reformatted"),
    ("meltano", "load/fault.meltano.yml", "plugins:\n  loaders:\n    - nam: x\n", "'name'"),
    ("meltano", "meltano.yml", "default_environment: [dev]\n", "default_environment"),
    ("yamllint", "fault.yml", "key: 1\nkey: 2\n", "duplication of key"),
    ("end-of-file", "fault.md", "text", "Fixing fault.md"),
    ("trailing-whitespace", "fault.md", "text \n", "Fixing fault.md"),
    ("secrets", "fault.env", "AWS=AKIA" + "QWERTYUIOPASDFGH" + "\n", "AWS Access Key"),
    ("secrets", "fault.yml", "password: " + "hunter2" + "\n", "Secret Keyword"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the project's lint configuration and dbt project."""
    root = tmp_path_factory.mktemp("project")
    for name in (".pre-commit-config.yaml", ".sqlfluff", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "transform", root / "transform")
    (root / "load").mkdir()
    (root / ".venv").symlink_to(Path(sys.prefix))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def lint(project: Path, hook: str, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (project / name).write_text(text)
    try:
        return subprocess.run(
            [PRE_COMMIT, "run", *hook.split(), "--color=never", "--files", *files],
            cwd=project,
            env=os.environ | {"PRE_COMMIT_HOME": str(project / ".git/pre-commit")},
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        for name in files:
            (project / name).unlink()


def test_sound_files_pass_every_hook(project: Path) -> None:
    result = lint(project, "", SOUND)
    assert result.returncode == 0, result.stdout
    assert "Skipped" not in result.stdout


@pytest.mark.parametrize(("hook", "name", "text", "said"), FAULTS)
def test_hook_finds_the_fault(project: Path, hook: str, name: str, text: str, said: str) -> None:
    result = lint(project, hook, {name: text})
    assert result.returncode == 1
    assert said in result.stdout
