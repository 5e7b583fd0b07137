"""The `doctor` command: what the active environment still needs, one line each."""

import os
from pathlib import Path

import click

from headwater_doctor import google, machine, shopify, source
from headwater_doctor.finding import Finding


def examine(root: Path, env: dict[str, str]) -> list[Finding]:
    """Check all that the environment's runs will need; asks nothing that its settings rule out.

    `root`: the project. `env`: the variables, as Meltano passes them on.
    """
    findings = machine.check(root)
    findings += source.check(root, env) + shopify.check(root, env)
    if env.get("DBT_TARGET", "duckdb") == "duckdb":
        return findings + machine.check_duckdb(root, env)
    return findings + google.check(root, env)


@click.command()
def main() -> None:
    """Say what is missing before the first run, and how to get it; fails if anything is."""
    root = Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").absolute()
    env = {name: value for name, value in os.environ.items() if value}
    findings = examine(root, env)
    for finding in findings:
        mark = click.style("ok", fg="green") if finding.ok else click.style("MISSING", fg="red")
        remedy = "" if finding.ok else f": {finding.remedy}"
        click.echo(f"{mark}\t{finding.what}{remedy}".expandtabs(9))
    missing = sum(not finding.ok for finding in findings)
    environment = env.get("MELTANO_ENVIRONMENT", "dev")
    if missing:
        click.echo(f"{missing} missing in {environment}.")
        raise SystemExit(1)
    click.echo(f"Nothing is missing in {environment}.")
