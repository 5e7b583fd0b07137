"""The night's numbers in a few lines, told to a webhook (Slack's, or alike)."""

import datetime as dt
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from headwater_reports.warehouse import Reader

TIMEOUT_SECONDS = 10
ARRIVED = """
with

newest as (

    select max(reconciled_at) as reconciled_at from marts.fct_reconciliations

),

loads as (

    select
        run_id,
        stream,
        sum(rows_inserted) as rows_inserted,
        sum(rows_updated) as rows_updated,
        sum(rows_deleted) as rows_deleted
    from marts.fct_loads
    group by run_id, stream

)

select
    newest.reconciled_at,
    count(*) as stream_count,
    sum(reconciliations.rows_lost) as rows_lost,
    sum(loads.rows_inserted) as rows_inserted,
    sum(loads.rows_updated) as rows_updated,
    sum(coalesce(loads.rows_deleted, 0) + coalesce(reconciliations.rows_deleted, 0)) as rows_deleted
from marts.fct_reconciliations as reconciliations
inner join newest
    on reconciliations.reconciled_at = newest.reconciled_at
left join loads
    on reconciliations.run_id = loads.run_id and reconciliations.stream = loads.stream
group by newest.reconciled_at
"""
CHECKED = """
select
    check_count,
    checks_passed,
    checks_warned,
    checks_failed,
    checks_skipped,
    failed_names
from reporting.pipeline_builds
where check_count > 0 and source_name = 'all'
qualify ended_at = max(ended_at) over ()
"""
SOLD = """
select
    period_type,
    period,
    currency_code,
    order_count,
    net_sales
from reporting.sales_by_period
where channel = 'all' and period_type in ('day', 'month')
qualify period = max(period) over (partition by period_type)
order by period_type, currency_code desc
"""
LENT = """
select
    month_start,
    currency_code,
    disbursals,
    payments
from reporting.financial_summary
qualify month_start = max(month_start) over ()
order by currency_code desc
"""


class NotTold(Exception):
    """The webhook did not take the message; says why, and not where it is: that is a secret."""


def tell(reader: Reader) -> bool:
    """Send the night's numbers to HEADWATER_WEBHOOK_URL; returns whether there is one.

    Raises:
        NotTold: it cannot be reached, or refuses.
        MissingRelation: a view that is told of has not been built.
    """
    url = os.environ.get("HEADWATER_WEBHOOK_URL")
    if url:
        post(url, text(reader))
    return bool(url)


def text(reader: Reader) -> str:
    """The message: what arrived, was checked, sold and lent, and where the reports are."""
    lines = [*_arrived(reader), *_checked(reader), *_sold(reader), *_lent(reader)]
    lines = lines or ["Headwater: nothing has been loaded yet."]
    if link := os.environ.get("HEADWATER_REPORTS_URL"):
        lines.append(f"<{link}|See the reports>")
    return "\n".join(lines)


def post(url: str, message: str) -> None:
    """Send Slack's JSON to a webhook.

    Raises:
        NotTold: it cannot be reached, or refuses.
    """
    body, headers = json.dumps({"text": message}).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, body, headers)
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise NotTold(f"it answers {error.code}") from None
    except (ValueError, http.client.InvalidURL):
        raise NotTold("HEADWATER_WEBHOOK_URL is not an address") from None
    except (OSError, http.client.HTTPException) as error:
        raise NotTold(type(getattr(error, "reason", error)).__name__) from None


def _arrived(reader: Reader) -> Iterator[str]:
    for row in reader.query(ARRIVED).to_pylist():
        lost = row["rows_lost"]
        verdict = f"{lost:,} rows are lost" if lost else "every row arrived"
        yield (
            f"Headwater, {row['reconciled_at']:%-d %B %Y %H:%M} UTC: {verdict}. "
            f"{row['stream_count']} streams: {row['rows_inserted'] or 0:,} rows new, "
            f"{row['rows_updated'] or 0:,} changed, {row['rows_deleted']:,} deleted."
        )


def _checked(reader: Reader) -> Iterator[str]:
    for row in reader.query(CHECKED).to_pylist():
        ended = ("passed", "warned", "failed", "skipped")
        counts = [f"{row[f'checks_{how}']:,} {how}" for how in ended if row[f"checks_{how}"]]
        names = f" ({row['failed_names']})" if row["failed_names"] else ""
        yield f"{row['check_count']:,} checks: {', '.join(counts)}{names}."


def _sold(reader: Reader) -> Iterator[str]:
    for period, rows in groupby(reader.query(SOLD).to_pylist(), _period):
        sums = (f"{_amount(row, 'net_sales')} in {_orders(row['order_count'])}" for row in rows)
        yield f"Net sales {period}: {'; '.join(sums)}."


def _lent(reader: Reader) -> Iterator[str]:
    for month, rows in groupby(reader.query(LENT).to_pylist(), lambda row: row["month_start"]):
        sums = (
            f"{_amount(row, 'disbursals')} paid out, {_amount(row, 'payments')} paid back"
            for row in rows
        )
        yield f"Lending in {month:%B %Y}: {'; '.join(sums)}."


def _orders(count: int) -> str:
    return f"{count:,} order{'s' if count != 1 else ''}"


def _period(row: dict[str, Any]) -> str:
    if row["period_type"] == "day":
        return f"on {dt.date.fromisoformat(row['period']):%-d %B %Y}"
    return f"in {dt.date.fromisoformat(row['period'] + '-01'):%B %Y}"


def _amount(row: dict[str, Any], column: str) -> str:
    return f"{row['currency_code']} {row[column]:,.2f}"
