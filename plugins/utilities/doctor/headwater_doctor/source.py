"""The source: whether Postgres answers, and lets the selected tables be read."""

from pathlib import Path

import psycopg
import yaml

from headwater_doctor.finding import Finding, required

TIMEOUT_SECONDS = 5
PRODUCTION = [
    ("POSTGRES_HOST", "the company's Postgres server"),
    ("POSTGRES_USER", "a user that may read it"),
    ("POSTGRES_PASSWORD", "that user's password"),
    ("POSTGRES_DB", "the database's name"),
]


def check(root: Path, env: dict[str, str]) -> list[Finding]:
    """In production its settings, each; then the server, then each selected table."""
    sandbox = not env.get("POSTGRES_HOST")
    findings = []
    if env.get("MELTANO_ENVIRONMENT") == "prod":
        findings = required(env, PRODUCTION)
        if not all(finding.ok for finding in findings):
            return findings
    settings = {
        "host": env.get("POSTGRES_HOST", "127.0.0.1"),
        "port": env.get("POSTGRES_PORT", "54320"),
        "user": env.get("POSTGRES_USER", "headwater"),
        "password": env.get("POSTGRES_PASSWORD", "headwater"),
        "dbname": env.get("POSTGRES_DB", "headwater"),
    }
    place = f"Postgres at {settings['host']}:{settings['port']}"
    try:
        with psycopg.connect(**settings, connect_timeout=TIMEOUT_SECONDS) as connection:
            return [*findings, Finding(f"{place} answers"), *_tables(connection, root, settings)]
    except psycopg.OperationalError as error:
        refused = "refused" in str(error)
        if sandbox and refused:
            return [*findings, Finding("the sandbox's Postgres is down; make run starts it")]
        reason = str(error).strip().splitlines()[-1].rpartition("failed: ")[2]
        remedy = f"{reason}; correct POSTGRES_HOST, _PORT, _USER, _PASSWORD or _DB"
        return [*findings, Finding(f"{place} does not let {settings['user']} in", remedy)]


def selected(root: Path) -> list[tuple[str, str]]:
    """Schema and name of each table that the extractor's declaration selects."""
    declared = yaml.safe_load((root / "extract/extractors.meltano.yml").read_text())
    (tap,) = (p for p in declared["plugins"]["extractors"] if p["name"] == "tap-postgres")
    streams = {pattern.partition(".")[0] for pattern in tap["select"] if pattern[0] != "!"}
    return sorted(tuple(stream.split("-", 1)) for stream in streams)


def _tables(connection: psycopg.Connection, root: Path, settings: dict[str, str]) -> list[Finding]:
    readable = dict(
        connection.execute(
            "select format('%s.%s', n.nspname, c.relname), has_schema_privilege(n.oid, 'usage') "
            "and has_table_privilege(c.oid, 'select') "
            "from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p', 'v', 'm', 'f')"
        ).fetchall()
    )
    findings, user = [], settings["user"]
    tables = selected(root)
    for schema, name in tables:
        table = f"{schema}.{name}"
        if table not in readable:
            remedy = f"deselect it in extract/extractors.meltano.yml, or look into {schema}"
            findings.append(Finding(f"{table} is not in {settings['dbname']}", remedy))
        elif not readable[table]:
            remedy = f"grant usage on schema {schema} to {user}; grant select on {table} to {user}"
            findings.append(Finding(f"{user} may not read {table}", remedy))
    return findings or [Finding(f"{len(tables)} selected tables can be read")]
