"""What the Meltano files declare, read without Meltano: environment, nightly job, streams.

Importing this sets the environment's variables, as Meltano does for what it runs, so that dbt and
the warehouse find the same settings.
"""

import os
from dataclasses import dataclass
from typing import Any

import dotenv
import yaml

from .run import ROOT, nightly_job


def _read() -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """meltano.yml, and the plugins of the files it includes, by kind and name."""
    meltano = yaml.safe_load((ROOT / "meltano.yml").read_text())
    plugins: dict[str, dict[str, dict[str, Any]]] = {}
    for path in (path for glob in meltano["include_paths"] for path in sorted(ROOT.glob(glob))):
        for kind, declared in yaml.safe_load(path.read_text())["plugins"].items():
            plugins.setdefault(kind, {}).update({plugin["name"]: plugin for plugin in declared})
    return meltano, plugins


MELTANO, PLUGINS = _read()


@dataclass(frozen=True)
class Stream:
    """A selected stream. `source`: its path there; `table`: the schema and name it lands in."""

    name: str
    source: tuple[str, ...]
    table: tuple[str, str]


@dataclass(frozen=True)
class Job:
    """A job's tasks, as the steps they become here.

    `loads`: by tap, in order, the words of its load: the tap, mappings, the loader.
    """

    name: str
    loads: dict[str, tuple[str, ...]]
    checks: tuple[str, ...]  # what runs between the load and dbt
    ending: tuple[str, ...]  # what runs after dbt

    @property
    def loaders(self) -> dict[str, str]:
        return {tap: words[-1] for tap, words in self.loads.items()}


def streams(tap: str) -> list[Stream]:
    """The streams that an extractor selects, in the order of its file.

    Raises:
        ValueError: a stream is selected by a pattern; only Meltano, connected, knows what fits.
    """
    plugin = PLUGINS["extractors"][tap]
    names = dict.fromkeys(p.split(".")[0] for p in plugin["select"] if not p.startswith("!"))
    if patterns := [name for name in names if set(name) & set("*?[")]:
        raise ValueError(f"{tap} selects {', '.join(patterns)}: name each stream, for its asset")
    return [_stream(plugin, name) for name in names]


def _stream(plugin: dict[str, Any], name: str) -> Stream:
    schema, hyphen, table = name.partition("-")
    if hyphen:
        return Stream(name, (plugin["namespace"], schema, table), (f"raw_{schema}", table))
    return Stream(
        name, (plugin["namespace"], name), (plugin.get("load_schema", plugin["namespace"]), name)
    )


def declared_job(environment: str) -> Job:
    """An environment's nightly job: loads, commands, dbt:build, commands."""
    name = nightly_job(environment)
    (declared,) = (job for job in MELTANO["jobs"] if job["name"] == name)
    words = " ".join(declared["tasks"]).split()
    before, after = words[: words.index("dbt:build")], words[words.index("dbt:build") + 1 :]
    loads: dict[str, tuple[str, ...]] = {}
    checks = []
    rest = iter(before)
    for word in rest:
        if word not in PLUGINS["extractors"]:
            checks.append(word)
            continue
        load = [word]
        while load[-1] not in PLUGINS["loaders"]:
            load.append(next(rest))
        loads[word] = tuple(load)
    return Job(name, loads, tuple(checks), tuple(after))


def _set_environment() -> str:
    """Set what .env, the environment and dbt's settings say, as Meltano does for dbt.

    Returns the environment's name.
    """
    dotenv.load_dotenv(ROOT / ".env")
    os.environ.setdefault("MELTANO_PROJECT_ROOT", str(ROOT))
    name = os.environ.setdefault("MELTANO_ENVIRONMENT", MELTANO["default_environment"])
    declared = next((e for e in MELTANO["environments"] if e["name"] == name), {})
    dbt = {s["env"]: s["value"] for s in PLUGINS["utilities"]["dbt"]["settings"]}
    for variable, value in declared.get("env", {}).items():
        os.environ[variable] = os.path.expandvars(str(value))
    for variable, value in dbt.items():
        if variable != "DBT_TARGET":  # the environment's
            os.environ.setdefault(variable, os.path.expandvars(str(value)))
    return name


ENVIRONMENT = _set_environment()
