"""The command line: `check` after a load, `publish` and `summary` at the end of a run."""

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
import duckdb
from headwater_target_warehouse.errors import LoadError
from headwater_target_warehouse.warehouse import AUDIT_SCHEMA, Warehouse
from rich.status import Status

from headwater_reconcile import compare, state
from headwater_reconcile.publish import publish, published_path
from headwater_reconcile.shopify import SANDBOX, STREAMS, Shop
from headwater_reconcile.source import Source, SourceError
from headwater_reconcile.streams import Mode, known_streams, parse_modes
from headwater_reconcile.summary import (
    console,
    print_bigquery,
    print_files,
    print_reports,
    print_summary,
    print_table,
)
from headwater_reconcile.warehouse import is_bigquery, loader, open_warehouse, place


class Commands(click.Group):
    """Turns what the user can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (LoadError, SourceError, state.StateError) as error:
            raise click.ClickException(str(error)) from None
        except duckdb.Error as error:
            raise click.ClickException(f"DuckDB: {str(error).splitlines()[0]}") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


class Modes(click.ParamType):
    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Mode]:
        if isinstance(value, dict):
            return value
        try:
            return parse_modes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def setting(name: str, envvar: str | list[str], **attributes: Any) -> Any:
    return click.option(name, envvar=envvar, show_envvar=True, **attributes)


warehouse_options = [
    setting(
        "--path",
        "DUCKDB_PATH",
        type=click.Path(path_type=Path),
        default=Path("output/headwater.duckdb"),
        help="The warehouse file.",
    ),
    setting(
        "--lock-timeout",
        "RECONCILE_LOCK_TIMEOUT_SECONDS",
        type=float,
        default=60,
        help="How many seconds to wait for another process that holds the warehouse.",
    ),
]
source_options = [
    setting("--host", "POSTGRES_HOST", default="127.0.0.1", help="The source's host."),
    setting("--port", "POSTGRES_PORT", type=int, default=54320, help="Its port."),
    setting("--user", "POSTGRES_USER", default="headwater", help="Who logs in."),
    setting(
        "--password",
        "POSTGRES_PASSWORD",
        default="headwater",
        show_default="the sandbox's",
        help="Better given by the variable: other users see a command line.",
    ),
    setting("--database", "POSTGRES_DB", default="headwater", help="The database."),
]
shop_options = [
    setting("--shop", "SHOPIFY_SHOP", default=SANDBOX, help="What is before .myshopify.com."),
    setting(
        "--access-token",
        ["SHOPIFY_ACCESS_TOKEN", "SHOPIFY_API_KEY"],
        help="Of the Admin API; or a client id and its secret. Better given by the variable.",
    ),
    setting("--client-id", "SHOPIFY_CLIENT_ID", help="The app's client id."),
    setting("--client-secret", "SHOPIFY_CLIENT_SECRET", help="Its secret."),
]


def options(*lists: list) -> Any:
    def add(command: Any) -> Any:
        for option in reversed([option for options in lists for option in options]):
            command = option(command)
        return command

    return add


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
)
def main() -> None:
    """Source against warehouse, key by key.

    Every option can be given by an environment variable; the defaults are the sandbox's.
    """


@main.command()
@options(warehouse_options, source_options, shop_options)
@setting(
    "--modes",
    "RECONCILE_MODES",
    type=Modes(),
    default="{}",
    help="How streams are compared, as JSON {pattern: mode}; the first pattern that fits decides. "
    '"exact", also where none fits: every key. {"window": days}: the keys whose replication value '
    'is at most so many days before the bookmark. "off": not at all.',
)
@setting(
    "--start-date",
    ["RECONCILE_START_DATE", "TAP_POSTGRES_START_DATE"],
    help="tap-postgres's start_date: rows with an older replication value are not looked at.",
)
@setting(
    "--shop-start-date",
    ["TAP_SHOPIFY_START_DATE", "SHOPIFY_START_DATE"],
    default="2015-01-01T00:00:00Z",
    help="tap-shopify's start_date.",
)
@setting(
    "--state-id",
    "RECONCILE_STATE_ID",
    show_default="<MELTANO_ENVIRONMENT>:tap-postgres-to-<loader>",
    help="The Meltano state with the bookmarks.",
)
@setting(
    "--shop-state-id",
    "RECONCILE_SHOP_STATE_ID",
    show_default="<MELTANO_ENVIRONMENT>:tap-shopify-to-<loader>",
    help="The one with those of the shop's streams.",
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(path_type=Path),
    help="A file with the state, instead of Meltano's.",
)
def check(
    path: Path,
    lock_timeout: float,
    host: str,
    port: int,
    user: str,
    password: str,
    database: str,
    shop: str,
    access_token: str | None,
    client_id: str | None,
    client_secret: str | None,
    modes: dict[str, Mode],
    start_date: str | None,
    shop_start_date: str,
    state_id: str | None,
    shop_state_id: str | None,
    state_file: Path | None,
) -> None:
    """Compare every stream with its source; exit 1 if rows are lost.

    A key that the source has had since before the last read, and the warehouse lacks or holds with
    another replication value, is lost. One that the source has no longer is marked deleted. Rows
    that changed after the read are counted as later. Of a shop's streams the numbers of rows are
    compared, month by month, and keys where they differ.
    """
    emptied = LoadError(
        f"the warehouse {place(path)} is empty, and the state is not: read everything again with "
        f"meltano run --full-refresh tap-postgres {loader()}"
    )
    with ExitStack() as stack:
        read_postgres = read_shopify = partial(state.read_file, state_file)
        if not state_file:
            environment = os.environ.get("MELTANO_ENVIRONMENT", "dev")
            read_postgres, read_shopify = (
                stack.enter_context(
                    state.ask_meltano(given or f"{environment}:{tap}-to-{loader()}", tap)
                )
                for given, tap in ((state_id, "tap-postgres"), (shop_state_id, "tap-shopify"))
            )
        # Opened before a source is read: nobody may load rows that are newer than what is read.
        warehouse = _open(path, lock_timeout)
        if warehouse:
            stack.enter_context(warehouse)
        has_loaded = warehouse and warehouse.columns(AUDIT_SCHEMA, "streams")
        names = {stream.name for stream in known_streams(warehouse)[0]} if has_loaded else set()
        source, bookmarks = None, {}
        if names - STREAMS.keys() or not names:
            source = stack.enter_context(Source(host, port, user, password, database))
            bookmarks |= read_postgres()
        if names & STREAMS.keys():
            bookmarks |= read_shopify()
        if not has_loaded:
            raise emptied
        out = console()
        status = stack.enter_context(Status("Reconciling", console=out))
        results = compare.reconcile(
            warehouse,
            source,
            Shop(shop, access_token, client_id, client_secret),
            bookmarks,
            modes,
            start_date=start_date,
            shop_start_date=shop_start_date,
            run_id=os.environ.get("MELTANO_RUN_ID"),
            on_stream=lambda stream: status.update(f"Reconciling {stream}"),
        )
        status.stop()
        print_table(out, warehouse.query)
    problems: dict[str, list[str]] = {}
    for result in results:
        if result.problem:
            problems.setdefault(result.problem, []).append(result.stream)
    for problem, streams in problems.items():
        click.echo(f"{', '.join(streams)}: {problem}", err=True)
    if problems:
        raise SystemExit(1)


@main.command("publish")
@options(warehouse_options)
def publish_command(path: Path, lock_timeout: float) -> None:
    """Copy the warehouse to <name>-read beside it, which is open to readers at any time.

    The copy is swapped in at once: a reader sees the old one or the new one. BigQuery needs none.
    """
    if is_bigquery():
        return
    warehouse = _open(path, lock_timeout)
    if not warehouse:
        raise _missing(path)
    with warehouse:
        click.echo(f"Published {publish(warehouse)}")


@main.command()
@options(warehouse_options)
@setting(
    "--dbt-target",
    "DBT_TARGET_PATH",
    type=click.Path(path_type=Path),
    default=Path("output/dbt/target"),
    help="The folder of dbt's run_results.json.",
)
@setting(
    "--reports",
    "REPORTS_OUTPUT",
    type=click.Path(path_type=Path),
    default=Path("output/reports"),
    help="The folder of the reports.",
)
@click.option(
    "--load-seconds",
    type=float,
    help="How long the load from Postgres took with all that is around it.",
)
def summary(
    path: Path,
    lock_timeout: float,
    dbt_target: Path,
    reports: Path,
    load_seconds: float | None,
) -> None:
    """Show what the newest run did: rows, dbt, and how to open the warehouse and the reports."""
    published = published_path(path)
    out = console()
    if not is_bigquery() and published.exists() and _is_newer(published, path):
        with duckdb.connect(str(published), read_only=True) as connection:
            print_summary(
                out,
                lambda sql: connection.execute(sql).to_arrow_table(),
                dbt_target,
                load_seconds,
            )
    else:
        warehouse = _open(path, lock_timeout)
        if not warehouse:
            raise _missing(path)
        with warehouse:
            warehouse.create_audit_tables()
            print_summary(out, warehouse.query, dbt_target, load_seconds)
    if is_bigquery():
        print_bigquery(out, os.environ["GCP_PROJECT_ID"])
    else:
        print_files(out, path, published)
    print_reports(out, reports / "index.html")


def _open(path: Path, lock_timeout: float) -> Warehouse | None:
    return open_warehouse(path, lock_timeout, lambda message: click.echo(message, err=True))


def _missing(path: Path) -> LoadError:
    return LoadError(f"there is no warehouse {place(path)}: load first")


def _is_newer(published: Path, path: Path) -> bool:
    log = path.with_name(f"{path.name}.wal")
    return not path.exists() or (
        not log.exists() and published.stat().st_mtime >= path.stat().st_mtime
    )


if __name__ == "__main__":
    main()
