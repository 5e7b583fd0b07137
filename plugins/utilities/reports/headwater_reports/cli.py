"""The command line: `build` makes all reports after the models, `open` shows them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from headwater_target_warehouse.errors import LoadError

output_option = click.option(
    "--output",
    envvar="REPORTS_OUTPUT",
    show_envvar=True,
    type=click.Path(path_type=Path),
    default=Path("output/reports"),
    help="Where the reports are.",
)


class Commands(click.Group):
    """Turns what the user can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LoadError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
def main() -> None:
    """What people open in the morning."""


@main.command()
@click.option(
    "--source",
    envvar="REPORTS_SOURCE",
    show_envvar=True,
    type=click.Path(path_type=Path),
    default=Path("analyze"),
    help="Where the reports are declared.",
)
@output_option
def build(source: Path, output: Path) -> None:
    """Render the dashboards and the notebooks, write the exports, tell the webhook."""
    # Altair and marimo take seconds to import.
    from headwater_reports import dashboard, exports, message, notebook
    from headwater_reports.warehouse import MissingRelation, open_warehouse

    told = False
    try:
        with open_warehouse() as reader:
            pages = dashboard.build(reader, source, output)
            pages += notebook.build(reader, source, output)
            manifest = exports.build(reader, source, output)
            with suppress(MissingRelation):  # said below
                told = not reader.missing and message.tell(reader)
    except (dashboard.DashboardError, notebook.NotebookError) as error:
        raise click.ClickException(str(error)) from None
    except message.NotTold as error:
        raise click.ClickException(f"the reports are made, but the webhook: {error}") from None
    for path in (*pages, manifest):
        click.echo(path)
    if reader.missing:
        raise click.ClickException(
            f"not in the warehouse: {', '.join(sorted(reader.missing))}; the pages say so. "
            "`meltano invoke dbt build` builds them"
        )
    if told:
        click.echo("The webhook was told the night's numbers.")


@main.command("open")
@output_option
def open_command(output: Path) -> None:
    """Show the reports in a browser."""
    index = output / "index.html"
    if not index.exists():
        raise click.ClickException(f"there is no {index} yet: `make run` makes it")
    click.echo(index)
    click.launch(str(index.resolve()))
