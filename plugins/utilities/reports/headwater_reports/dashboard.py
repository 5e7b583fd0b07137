"""A dashboard's declaration, and the page that is made of it.

`analyze/dashboards/<name>.yml` says which views a page shows and how; `analyze/columns.yml` names
their columns once for all pages. Charts are Vega-Lite. The warehouse has done the sums: a view has
a row for each choice of the filters, and the page only picks among them, so that no number is made
in a browser, and every filter acts on every chart.
"""

import base64
import datetime as dt
import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import vl_convert
import yaml

from headwater_reports.warehouse import Reader

# Says when the data was loaded; every page reads it.
FRESHNESS = "data_freshness"
ALL = "all"
UNITS = ("text", "key", "period", "day", "time", "count", "amount", "ratio", "seconds", "number")
_REQUIRED = {"title", "view", "columns", "chart"}
_OPTIONAL = {"about", "empty", "split", "grain", "pick", "sort", "height", "wide"}
# Colours are CSS variables, so that a chart follows the page into dark mode and onto paper.
CONFIG = {
    "background": None,
    # As in page.css: text is measured before it is drawn.
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
    "customFormatTypes": True,
    "numberFormatType": "compact",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelOverlap": "parity",
        "labelSeparation": 8,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "axisYBand": {"labelOverlap": False},
    "axisX": {"grid": False},
    "axisXQuantitative": {"tickCount": 6},
    "axisXTemporal": {
        "labelExpr": "utcFormat(datum.value, utcdate(datum.value) == 1 ? \"%b '%y\" : '%-d %b')"
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--muted)",
        "orient": "top",
        "columns": 2,
        "labelFontSize": 12,
        "symbolType": "square",
    },
    "bar": {"color": "var(--series-1)", "cornerRadiusEnd": 2},
    "line": {"color": "var(--series-1)", "strokeWidth": 2},
    "area": {"color": "var(--series-1)", "line": {"color": "var(--series-1)"}},
    "text": {"color": "var(--ink)"},
    "range": {"category": [f"var(--series-{n})" for n in range(1, 6)]},
}


class DashboardError(Exception):
    """What is wrong with a declaration, in one line."""


@dataclass(frozen=True)
class Dashboard:
    """One page. `charts`: its panels' as Vega; `views`: the reporting views it reads, in order."""

    name: str
    declared: dict[str, Any]
    columns: dict[str, dict[str, str]]
    charts: list[dict[str, Any]]

    @property
    def views(self) -> list[str]:
        panels = [self.declared["headline"], *self.declared["panels"]]
        return list(dict.fromkeys([*(panel["view"] for panel in panels), FRESHNESS]))


def load_dashboards(source: Path) -> list[Dashboard]:
    """All dashboards of `source`, which is `analyze/`, in the order that index.yml gives.

    Raises:
        DashboardError: a declaration is not complete, or names what there is not.
    """
    columns = yaml.safe_load((source / "columns.yml").read_text())
    for name, column in columns.items():
        if column.keys() - {"label", "unit", "about"} or column.get("unit") not in UNITS:
            raise DashboardError(f"columns.yml: {name} needs a label and a unit of {UNITS}")
    dashboards = _index(source)["dashboards"]
    return [_load(source / "dashboards" / f"{name}.yml", columns) for name in dashboards]


def _index(source: Path) -> dict[str, list]:
    return yaml.safe_load((source / "index.yml").read_text())


def _load(path: Path, columns: dict[str, dict[str, str]]) -> Dashboard:
    declared = yaml.safe_load(path.read_text())
    if missing := {"title", "about", "filters", "headline", "panels"} - declared.keys():
        raise DashboardError(f"{path.name}: {', '.join(sorted(missing))} missing")
    charts = []
    for panel in declared["panels"]:
        where = f"{path.name}: {panel.get('title')}"
        if wrong := panel.keys() - _REQUIRED - _OPTIONAL:
            raise DashboardError(f"{where}: there is no {', '.join(sorted(wrong))}")
        if missing := _REQUIRED - panel.keys():
            raise DashboardError(f"{where}: {', '.join(sorted(missing))} missing")
        named = {*panel["columns"], *(name.removeprefix("-") for name in panel.get("sort", []))}
        if unknown := named - columns.keys():
            raise DashboardError(f"{where}: columns.yml does not name {', '.join(sorted(unknown))}")
        try:
            charts.append(vl_convert.vegalite_to_vega(_vega_lite(panel, columns)))
        except ValueError as error:
            raise DashboardError(f"{where}: {str(error).splitlines()[0]}") from None
    return Dashboard(path.stem, declared, columns, charts)


def build(reader: Reader, source: Path, output: Path) -> list[Path]:
    """Render every dashboard of `source` and the index of all reports into `output`; returns them.

    Raises:
        DashboardError: a declaration is wrong; then nothing is written.
        LoadError: the warehouse cannot answer.
    """
    dashboards = load_dashboards(source)
    views = {view: reader.view(view) for d in dashboards for view in d.views}
    contents = [_content(dashboard, views) for dashboard in dashboards]
    shared = {"loaded_at": loaded_at(views[FRESHNESS]), "pages": navigation(source)}
    pages = {
        content["name"]: page("page.html.j2", content["name"], page=content, **shared)
        for content in contents
    }
    pages["index"] = page(
        "index.html.j2", "index", contents=contents, notebooks=_index(source)["notebooks"], **shared
    )
    paths = [output / f"{name}.html" for name in pages]
    for path, text in zip(paths, pages.values(), strict=True):
        write(path, text.encode())
    return paths


def navigation(source: Path) -> list[dict[str, str]]:
    """Name and title of all reports, in order."""
    index = _index(source)
    titles = [
        {"name": name, "title": yaml.safe_load(path.read_text())["title"]}
        for name in index["dashboards"]
        for path in [source / "dashboards" / f"{name}.yml"]
    ]
    return titles + index["notebooks"]


def loaded_at(freshness: pa.Table | None) -> str | None:
    """When data last came into the warehouse, as JSON says it; None if it never did."""
    return _plain(freshness["loaded_at"][0].as_py()) if freshness else None


def page(template: str, current: str, *, loaded_at: str | None, **content: Any) -> str:
    """A page's text; `current`: its name, `loaded_at`: the time of the data."""
    times = {"loaded_at": loaded_at, "rendered_at": _plain(dt.datetime.now(dt.UTC))}
    data = embedded({**content.get("page", {}), **times})
    return (
        _templates()
        .get_template(template)
        .render(current=current, data=data, vega=vega, **times, **content)
    )


def write(path: Path, content: bytes) -> None:
    """Write aside and move into place: who reads sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def _content(dashboard: Dashboard, views: dict[str, pa.Table | None]) -> dict[str, Any]:
    """All that the page's script needs, as JSON can hold it."""
    declared, columns = dashboard.declared, dashboard.columns
    numbers = [number["column"] for number in declared["headline"]["numbers"]]
    covers = declared["headline"].get("covers", [])
    filters = list(declared["filters"])
    wanted = {declared["headline"]["view"]: {*filters, *numbers, *covers}}
    panels = []
    for number, panel in enumerate(declared["panels"]):
        sort = [name.removeprefix("-") for name in panel.get("sort", [])]
        wanted.setdefault(panel["view"], {*filters}).update(panel["columns"], sort)
        shown = set(re.findall(r"\w+", json.dumps(panel["chart"])))
        has_amounts = any(columns[name]["unit"] == "amount" for name in shown & columns.keys())
        panels.append(
            {"id": f"panel-{number}", **panel, "chart": dashboard.charts[number]}
            | {"has_amounts": has_amounts}
        )
    packed = {view: _packed(views[view], sorted(names)) for view, names in wanted.items()}
    whole = {view: views[view] for view in wanted if packed[view]}
    opens = _opens(filters, list(whole.values()))
    used = {name for names in wanted.values() for name in names}
    return {
        "name": dashboard.name,
        "title": declared["title"],
        "about": declared["about"],
        "filters": declared["filters"],
        "headline": declared["headline"],
        "opens": opens,
        "facts": _facts(dashboard, whole.get(declared["headline"]["view"]), opens),
        "panels": panels,
        "columns": {name: columns[name] for name in columns if name in used},
        "views": _compressed(packed),
    }


def _opens(filters: list[str], tables: list[pa.Table]) -> dict[str, Any]:
    """What a page opens with, by filter: all, or what most rows have, as of the currencies."""
    opens = {}
    for name in filters:
        found = Counter(value for table in tables for value in table[name].to_pylist())
        opens[name] = ALL if ALL in found else max(found, key=found.get, default=None)
    return opens


def _facts(dashboard: Dashboard, table: pa.Table | None, opens: dict[str, Any]) -> dict[str, str]:
    """The first headline numbers by label, as the page opens and the index shows them."""
    rows = [
        row
        for row in (table.to_pylist() if table else [])
        if all(row[name] == opens[name] for name in opens)
    ]
    facts = {}
    for number in dashboard.declared["headline"]["numbers"][:3] if rows else []:
        column = dashboard.columns[number["column"]]
        value = _shown(rows[0][number["column"]], column["unit"])
        currency = rows[0].get("currency_code") if column["unit"] == "amount" else None
        label = number.get("label") or column["label"]
        facts[label] = f"{value} {currency}" if currency else value
    return facts


def _shown(value: Any, unit: str) -> str:
    """A value as people read it; the pages' script says the same."""
    if value is None:
        return "–"
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if unit in ("count", "amount", "number") else str(value)


def _vega_lite(panel: dict[str, Any], columns: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The panel's chart, whole: each channel's title and tooltips come from columns.yml."""
    chart = json.loads(json.dumps(panel["chart"]))
    for layer in (chart, *chart.get("layer", [])):
        for channel in layer.get("encoding", {}).values():
            if isinstance(channel, dict) and "field" in channel:
                name = channel["field"]
                channel.setdefault("title", columns.get(name, {}).get("label", name))
                if columns.get(name, {}).get("unit") == "ratio":
                    percent = {"format": ".0%", "formatType": "number"}
                    channel.setdefault("axis", {}).setdefault("format", percent["format"])
                    channel["axis"].setdefault("formatType", percent["formatType"])
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"name": "rows"},
        "width": "container",
        "height": panel.get("height", 260),
        "autosize": {"type": "fit-x", "contains": "padding"},
        **chart,
        "config": CONFIG,
    }


def _packed(table: pa.Table | None, names: list[str]) -> dict[str, Any] | None:
    """The columns of a view that a page needs; None if the view or one of them is missing.

    A column that repeats itself is {"values": the different ones, "codes": which one each row has}.
    """
    if table is None or not set(names) <= set(table.column_names):
        return None
    packed = {}
    for name in names:
        values = [_plain(value) for value in table[name].to_pylist()]
        different = {value: code for code, value in enumerate(dict.fromkeys(values))}
        if len(different) * 2 < len(values):
            packed[name] = {"values": list(different), "codes": [different[v] for v in values]}
        else:
            packed[name] = values
    return {"rows": table.num_rows, "columns": packed}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it, none of its digits lost: what is not whole is text."""
    match value:
        case Decimal():
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case dt.datetime():
            return f"{value.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
        case dt.date():
            return value.isoformat()
        case float():
            return repr(value)
        case _:
            return value


def _compressed(views: dict[str, Any]) -> str:
    """As the page's script unpacks it: years of days are megabytes, of which a fifth is left."""
    return base64.b64encode(gzip.compress(_json(views).encode(), mtime=0)).decode()


def embedded(content: dict[str, Any]) -> str:
    """JSON that no browser takes for the end of the script it is in."""
    return _json(content).replace("<", "\\u003c")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("headwater_reports"),
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@cache
def vega() -> str:
    """Vega's runtime, as one script that asks for nothing else."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")
