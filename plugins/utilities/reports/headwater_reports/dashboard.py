"""A dashboard's declaration, and the page that is made of it.

`analyze/dashboards/<name>.yml` says which views a page shows and how; `analyze/columns.yml` names their
columns once for all pages. Charts are Vega-Lite. The warehouse has done the sums: a view has a row for
each choice of the filters, and the page only picks among them, so that no number is made in a browser.
"""

import datetime as dt
import json
from collections.abc import Iterable
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
UNITS = ("text", "key", "period", "day", "time", "count", "amount", "ratio", "seconds", "number")
_PANEL = {"title", "about", "view", "columns", "chart", "split", "pick", "sort", "height", "wide"}
# Colours are CSS variables, so that a chart follows the page into dark mode and onto paper.
_CONFIG = {
    "background": None,
    "font": "inherit",
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
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "axisX": {"grid": False},
    "legend": {
        "labelColor": "var(--ink)",
        "title": None,
        "orient": "top",
        "labelFontSize": 12,
        "symbolType": "square",
    },
    "bar": {"color": "var(--series-1)", "cornerRadiusEnd": 2},
    "line": {"color": "var(--series-1)", "strokeWidth": 2},
    "area": {"color": "var(--series-1)", "fillOpacity": 0.15, "line": {"color": "var(--series-1)"}},
    "text": {"color": "var(--ink)"},
    "range": {"category": [f"var(--series-{n})" for n in range(1, 7)]},
}


class DashboardError(Exception):
    """What is wrong with a declaration, in one line."""


@dataclass(frozen=True)
class Dashboard:
    """One page. `views`: the reporting views it reads, in order."""

    name: str
    declared: dict[str, Any]
    columns: dict[str, dict[str, str]]

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
    order = yaml.safe_load((source / "index.yml").read_text())["dashboards"]
    return [_load(source / "dashboards" / f"{name}.yml", columns) for name in order]


def _load(path: Path, columns: dict[str, dict[str, str]]) -> Dashboard:
    declared = yaml.safe_load(path.read_text())
    if missing := {"title", "about", "filters", "headline", "panels"} - declared.keys():
        raise DashboardError(f"{path.name}: {', '.join(sorted(missing))} missing")
    for panel in declared["panels"]:
        where = f"{path.name}: {panel.get('title')}"
        if wrong := panel.keys() - _PANEL:
            raise DashboardError(f"{where}: there is no {', '.join(sorted(wrong))}")
        if missing := {"title", "view", "columns", "chart"} - panel.keys():
            raise DashboardError(f"{where}: {', '.join(sorted(missing))} missing")
        if unknown := set(panel["columns"]) - columns.keys():
            raise DashboardError(f"{where}: columns.yml does not name {', '.join(sorted(unknown))}")
        try:
            vl_convert.vegalite_to_vega(_vega_lite(panel, columns))
        except ValueError as error:
            raise DashboardError(f"{where}: {str(error).splitlines()[0]}") from None
    return Dashboard(path.stem, declared, columns)


def render(dashboards: list[Dashboard], reader: Reader) -> dict[str, str]:
    """The text of each page and of the index, by file name."""
    views = {view: reader.read(view) for d in dashboards for view in d.views}
    freshness = views[FRESHNESS]
    loaded_at = freshness["loaded_at"][0].as_py() if freshness else None
    shared = {
        "loaded_at": f"{loaded_at.replace(tzinfo=None).isoformat()}Z" if loaded_at else None,
        "rendered_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    pages = [_content(dashboard, views) | shared for dashboard in dashboards]
    titles = [{"name": page["name"], "title": page["title"]} for page in pages]
    templates = _templates()
    made = {
        f"{page['name']}.html": templates.get_template("page.html.j2").render(
            page=page, pages=titles, vega=_vega(), data=_embedded(page)
        )
        for page in pages
    }
    index = templates.get_template("index.html.j2")
    return made | {"index.html": index.render(pages=pages, data=_embedded(shared), **shared)}


def _content(dashboard: Dashboard, views: dict[str, pa.Table | None]) -> dict[str, Any]:
    """All that the page's script needs, as JSON can hold it."""
    declared, columns = dashboard.declared, dashboard.columns
    numbers = [number["column"] for number in declared["headline"]["numbers"]]
    wanted: dict[str, set[str]] = {declared["headline"]["view"]: set(numbers)}
    panels = []
    for number, panel in enumerate(declared["panels"], 1):
        wanted.setdefault(panel["view"], set()).update(panel["columns"])
        spec = _vega_lite(panel, columns)
        vega = vl_convert.vegalite_to_vega(spec)
        panels.append({"id": f"panel-{number}", **panel, "chart": vega})
    used = {name for names in wanted.values() for name in names} | declared["filters"].keys()
    return {
        "name": dashboard.name,
        "title": declared["title"],
        "about": declared["about"],
        "filters": declared["filters"],
        "headline": declared["headline"],
        "panels": panels,
        "columns": {name: columns[name] for name in columns if name in used},
        "views": {
            view: _packed(views[view], [*declared["filters"], *sorted(names)])
            for view, names in wanted.items()
        },
    }


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
        "config": _CONFIG,
    }


def _packed(table: pa.Table | None, names: Iterable[str]) -> dict[str, Any] | None:
    """The columns of a view that a page shows; None if the view or one of them is missing.

    A column that repeats itself is {"values": the different ones, "codes": which one each row has}.
    """
    if table is None:
        return None
    packed = {}
    for name in dict.fromkeys(names):
        if name not in table.column_names:
            if name in FILTERS:
                continue  # not every view is split by every filter
            return None
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


def _embedded(content: dict[str, Any]) -> str:
    """JSON that no browser takes for the end of the script it is in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("headwater_reports"),
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@cache
def _vega() -> str:
    """Vega's runtime, as one script that asks for nothing else."""
    script = vl_convert.javascript_bundle("window.vega = {parse: vega.parse, View: vega.View};")
    return script.replace("</script", "<\\/script")
