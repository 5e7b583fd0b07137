"""The `sandbox` command: the laptop stand-ins for the systems that Headwater reads."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import dotenv
import psycopg

from headwater_sandbox import generator
from headwater_sandbox.bigquery import DEFAULT_ENDPOINT, Emulator
from headwater_sandbox.postgres import PortTakenError, Server, ServerError, binaries
from headwater_sandbox.shopify import data, store
from headwater_sandbox.shopify.app import SHOP
from headwater_sandbox.shopify.cost import PLANS
from headwater_sandbox.shopify.faults import KINDS, LASTING, PLACES, Fault
from headwater_sandbox.shopify.server import StandIn
from headwater_sandbox.tick import tick

DEFAULT_PORT = 54320
LOGIN = {
    "POSTGRES_USER": Server.user,
    "POSTGRES_PASSWORD": Server.password,
    "POSTGRES_DB": Server.database,
}


Counts = dict[str, list[int]]  # rows inserted, updated and deleted by table or stream


class Group(click.Group):
    """Errors that the user can do something about end in one line."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (ServerError, psycopg.Error, OSError) as error:
            raise click.ClickException(str(error).splitlines()[0]) from error


class Project:
    """What the environment and the project's .env say; the environment comes first."""

    def __init__(self):
        self.root = Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").absolute()
        self.dotenv = self.root / ".env"
        recorded = dotenv.dotenv_values(self.dotenv)
        own_port = os.environ.get("POSTGRES_PORT")
        # Meltano puts what .env says into the environment.
        self.port_is_recorded = not own_port or own_port == recorded.get("POSTGRES_PORT")
        dotenv.load_dotenv(self.dotenv)
        self.host = os.environ.get("POSTGRES_HOST")
        self.warehouse = self.root / (os.environ.get("DUCKDB_PATH") or "output/headwater.duckdb")
        port = os.environ.get("POSTGRES_PORT") or str(DEFAULT_PORT)
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise click.ClickException(f"POSTGRES_PORT is not a port: {port}")
        self.port = int(port)
        directory = os.environ.get("SANDBOX_DIR") or "output/sandbox"
        self.server = Server(self.root / directory, self.port)
        endpoint = os.environ.get("BIGQUERY_API_ENDPOINT") or DEFAULT_ENDPOINT
        self.emulator = Emulator(self.root / directory / "bigquery", endpoint)
        self.shop = StandIn(self.root / directory / "shopify")
        is_own = os.environ.get("SHOPIFY_SHOP") in (None, "", SHOP)
        self.uses_shop = is_own and os.environ.get("MELTANO_ENVIRONMENT") != "prod"
        declared = self.root / "meltano.yml"
        self.reads_shop = declared.exists() and "tap-shopify" in declared.read_text()

    def start(self) -> None:
        """Start the server, on another port, which .env then names, if the default one is taken."""
        if self.host:
            raise ServerError(f"POSTGRES_HOST is set ({self.host}): the sandbox is not in use")
        if os.environ.get("MELTANO_ENVIRONMENT") == "prod":
            raise ServerError("prod reads a Postgres of your own: set POSTGRES_HOST and its login")
        for variable, default in LOGIN.items():
            if os.environ.get(variable) not in (None, "", default):
                raise ServerError(
                    f"{variable} is set and POSTGRES_HOST is not: set POSTGRES_HOST for a server"
                    f" of your own, or unset {variable} for the sandbox"
                )
        if self.server.is_running and self.server.port != self.port:
            self.server.stop()
            self.server = Server(self.server.directory, self.port)
        try:
            self.server.start()
        except PortTakenError as error:
            if not self.port_is_recorded:
                raise ServerError(
                    f"{error}: set POSTGRES_PORT to a free one, or unset it and one is found"
                ) from error
            self.server = Server(self.server.directory)
            self.server.start()
            dotenv.set_key(self.dotenv, "POSTGRES_PORT", str(self.server.port), quote_mode="never")
            click.echo(f"{error}: took {self.server.port}, POSTGRES_PORT in {self.dotenv} says so")

    def stay_down(self) -> None:
        """Say that the sandbox is not in use; a server of one's own needs a login of its own.

        Nor do the invented orders of the sandbox's shop join one's own, unless they are asked for.
        """
        if missing := [variable for variable in LOGIN if not os.environ.get(variable)]:
            raise ServerError(
                f"POSTGRES_HOST is set ({self.host}), but not {', '.join(missing)}: set what your"
                " server asks for, or unset POSTGRES_HOST for the sandbox"
            )
        if self.uses_shop and self.reads_shop and not os.environ.get("SHOPIFY_SHOP"):
            raise ServerError(
                "POSTGRES_HOST is set, but not SHOPIFY_SHOP: set it to your store, or to"
                f" {SHOP} for the sandbox's, or take tap-shopify out of the jobs in meltano.yml"
            )
        click.echo(f"POSTGRES_HOST is set ({self.host}): the sandbox's Postgres stays down.")

    def start_emulator(self) -> None:
        self.emulator.start()
        click.echo(f"The BigQuery emulator is up: {self.emulator.endpoint}")

    def start_shop(self, plan: str | None = None) -> None:
        if not self.uses_shop:
            raise ServerError(f"the sandbox's shop is {SHOP}: unset SHOPIFY_SHOP; prod has none")
        self.shop.start(plan)
        click.echo(f"Shopify is up: {SHOP}, by {self.shop.proxy}")

    def fill_shop(self, seed: int, scale: float, day: str | None = None) -> Counts:
        """Make the shop's data where there is none, or none on the way to this day, and go there.

        Returns what the days on the way changed, by stream.
        """
        counts: Counts = {}
        if not self.uses_shop:
            return counts
        with self.shop.writing() as connection:
            clock = store.read_clock(connection)
            if not clock or (day and (clock[:2] != (seed, scale) or clock[2] > day)):
                data.seed(connection, scale, seed)
                rows = store.counts(connection)
                for stream, kind in data.STREAMS.items():
                    if kind in rows:
                        show_rows(f"shopify.{stream}", rows[kind])
            while day and store.read_clock(connection)[2] < day:
                add(counts, {f"shopify.{name}": n for name, n in data.tick(connection).items()})
        return counts

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.server.dsn, autocommit=True)


def add(totals: Counts, counts: Counts) -> None:
    for name, numbers in counts.items():
        seen = totals.get(name, [0, 0, 0])
        totals[name] = [a + b for a, b in zip(seen, numbers, strict=True)]


def show_rows(name: str, rows: int) -> None:
    click.echo(f"  {name:<24}{rows:>11,} rows")


scale_option = click.option(
    "--scale",
    type=click.FloatRange(0, 100, min_open=True),
    envvar="SCALE",
    default=1.0,
    show_default=True,
    help="How much data; at 1 there are 100,000 orders. [env: SCALE]",
)
seed_option = click.option(
    "--seed", type=int, default=generator.SEED, show_default=True, help="Another seed, other data."
)


@click.group(cls=Group)
@click.pass_context
def main(context: click.Context) -> None:
    """A real Postgres, and a Shopify store, with the data of a small business, for a laptop.

    Their data and logs are in SANDBOX_DIR (output/sandbox); Postgres listens on 127.0.0.1 at
    POSTGRES_PORT (54320). With POSTGRES_HOST set it stays down: Headwater then reads a server of
    your own; so does the store with SHOPIFY_SHOP set to one of your own, and in prod.
    """
    context.obj = Project()


@main.command()
@scale_option
@seed_option
@click.pass_obj
def up(project: Project, scale: float, seed: int) -> None:
    """Start the servers, and fill them with data the first time.

    In the environment `emulator` the BigQuery emulator is started as well.
    """
    if os.environ.get("MELTANO_ENVIRONMENT") == "emulator":
        project.start_emulator()
    if project.host:
        project.stay_down()
        project.fill_shop(seed, scale)
    else:
        project.start()
        with project.connect() as connection:
            if not (clock := generator.read_clock(connection)):
                _seed(connection, scale, seed, replace=False)
            elif clock[:2] != (seed, scale):
                click.echo(
                    f"The data is of seed {clock[0]} at scale {clock[1]:g};"
                    " `sandbox seed --force` makes it anew."
                )
            _follow(project, connection)
        click.echo(f"Postgres is up: {project.server.dsn}")
    if project.uses_shop:
        project.start_shop()


@main.group()
def bigquery() -> None:
    """A BigQuery emulator, for the environment `emulator`.

    It listens at BIGQUERY_API_ENDPOINT (http://127.0.0.1:9050).
    """


@bigquery.command("up")
@click.pass_obj
def bigquery_up(project: Project) -> None:
    """Start the emulator; the first time its Python environment is made, which takes a minute."""
    project.start_emulator()


@bigquery.command("down")
@click.pass_obj
def bigquery_down(project: Project) -> None:
    """Stop the emulator. The data stays in its directory."""
    was_running = project.emulator.is_running
    project.emulator.stop()
    click.echo(f"The BigQuery emulator {'is down' if was_running else 'was not running'}.")


@main.group()
def shopify() -> None:
    """A Shopify store: its Admin API, under its own names, by a proxy on 127.0.0.1.

    The shop is `rainbow-sandbox`; its access token, client id and client secret are its name.
    """


@shopify.command("up")
@click.option(
    "--plan",
    type=click.Choice(list(PLANS)),
    help="Shopify's plan, which sets the rate of queries; at first it is plus.",
)
@scale_option
@seed_option
@click.pass_obj
def shopify_up(project: Project, plan: str | None, scale: float, seed: int) -> None:
    """Start the store, and fill it with data the first time."""
    project.fill_shop(seed, scale)
    project.start_shop(plan)


@shopify.command("down")
@click.pass_obj
def shopify_down(project: Project) -> None:
    """Stop the store, and with it every fault. The data stays in its directory."""
    was_running = project.shop.is_running
    project.shop.stop()
    click.echo(f"Shopify {'is down' if was_running else 'was not running'}.")


@shopify.command("status")
@click.pass_context
def shopify_status(context: click.Context) -> None:
    """Say where the store is. Exit code 1 when it is not running."""
    shop: StandIn = context.obj.shop
    facts = shop.facts or {}
    for name in ("proxy", "plan", "log"):
        click.echo(f"{name:10} {facts.get(name, '-')}")
    context.exit(0 if facts else 1)


@shopify.command("env")
@click.pass_obj
def shopify_env(project: Project) -> None:
    """Print the variables that bring a client's requests to Shopify here, one a line."""
    for name, value in project.shop.environment.items():
        click.echo(f"{name}={value}")


def _described(rows: dict[str, Any]) -> str:
    return "\n".join(f"  {name:<14} {told}" for name, told in rows.items())


@shopify.command(
    "fault",
    help=f"""Make something go wrong, once unless told otherwise, or say what is in wait.

\b
KIND is one of:
{_described({kind: told for kind, (told, _) in KINDS.items()})}
  clear          nothing goes wrong any more
  list           only say what is in wait

\b
--on is one of:
{_described(PLACES)}
""",
)
@click.argument("kind", type=click.Choice([*KINDS, "clear", "list"]))
@click.option("--on", type=click.Choice(list(PLACES)), multiple=True, help="Where; repeatable.")
@click.option("--root", help="Only requests for this root field, e.g. customers.")
@click.option("--after", type=click.IntRange(0), default=0, help="Let so many requests pass first.")
@click.option("--times", type=click.IntRange(0), default=1, help="How often; 0 is without end.")
@click.option("--value", help="What the kind says.")
@click.pass_obj
def shopify_fault(project: Project, kind: str, on: tuple[str, ...], **options: Any) -> None:
    if kind == "list":
        waiting = project.shop.faults()
    elif kind == "clear":
        waiting = project.shop.faults("DELETE")
    else:
        if kind in LASTING and not options["value"]:
            raise click.UsageError(f"{kind} needs --value: {KINDS[kind][0]}")
        fault = Fault(kind, on=list(on) or list(KINDS[kind][1]), **options)
        waiting = project.shop.faults("POST", asdict(fault))
    for one in waiting:
        click.echo(json.dumps(one))


@main.command()
@click.pass_obj
def down(project: Project) -> None:
    """Stop the servers, and the BigQuery emulator. The data stays in its directory."""
    was_running = project.server.is_running
    project.server.stop()
    project.emulator.stop()
    project.shop.stop()
    click.echo("Postgres is down." if was_running else "Postgres was not running.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, and always exit code 0.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Say where the server and the warehouse are. Exit code 1 when it is not running."""
    project: Project = context.obj
    server, clock = project.server, None
    if running := server.is_running:
        with project.connect() as connection:
            clock = generator.read_clock(connection)
    seed, scale, day = clock or (None, None, None)
    facts = {
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "user": server.user,
        "running": running,
        "warehouse": str(project.warehouse),
        "scale": scale,
        "seed": seed,
        "day": day and str(day),
        "shop": project.shop.proxy if project.shop.is_running else None,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:10} {'-' if value is None else value}")
    context.exit(0 if running else 1)


@main.command()
@scale_option
@seed_option
@click.option("--force", is_flag=True, help="Replace the data that is there.")
@click.pass_obj
def seed(project: Project, scale: float, seed: int, force: bool) -> None:
    """Make the data: two years of business, to the end of June 2026."""
    project.start()
    with project.connect() as connection:
        if not force and (clock := generator.read_clock(connection)):
            raise click.ClickException(
                f"there is data of seed {clock[0]} at scale {clock[1]:g}, up to {clock[2]}:"
                " --force replaces it"
            )
        _seed(connection, scale, seed, replace=force)
        _follow(project, connection)


def _follow(project: Project, connection: psycopg.Connection) -> Counts:
    """Bring the shop to the day of the Postgres data."""
    seed, scale, day = generator.read_clock(connection)
    return project.fill_shop(seed, scale, str(day))


def _seed(connection: psycopg.Connection, scale: float, seed: int, replace: bool) -> None:
    click.echo(f"Making the data of seed {seed} at scale {scale:g}:")
    generator.seed(
        connection,
        *(scale, seed, replace),
        progress=show_rows,
    )


@main.command("tick")
@click.option("--days", type=click.IntRange(1), default=1, show_default=True)
@click.pass_obj
def tick_command(project: Project, days: int) -> None:
    """Let a day of business pass, in Postgres and in the store: rows come, change and go."""
    project.start()
    totals: Counts = {}
    with project.connect() as connection:
        if not generator.read_clock(connection):
            raise click.ClickException("there is no data yet: `sandbox up` makes it")
        for _ in range(days):
            day, counts = tick(connection)
            add(totals, counts)
            add(totals, _follow(project, connection))
    click.echo(f"It is the end of {day}.")
    click.echo(f"{'table':<24}{'inserted':>10}{'updated':>10}{'deleted':>10}")
    for table, numbers in totals.items():
        click.echo(f"{table:<24}" + "".join(f"{number:>10,}" for number in numbers))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def psql(project: Project, arguments: tuple[str, ...]) -> None:
    """Open psql in the database; ARGUMENTS are psql's own, after `--`."""
    project.start()
    program = shutil.which("psql", path=f"{binaries()}{os.pathsep}{os.environ.get('PATH', '')}")
    if not program:
        raise click.ClickException(f"no psql here; any client will do: {project.server.dsn}")
    server = project.server
    login = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": server.database,
    }
    os.execve(program, [program, *arguments], os.environ | login)
