"""A marimo notebook, run, and what its cells show as a page that needs no script and no marimo."""

import base64
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import altair as alt
import marimo
import pyarrow as pa
import pyarrow.csv
import vl_convert
import yaml
from headwater_target_warehouse.errors import LoadError

from headwater_reports.dashboard import CONFIG, FRESHNESS, loaded_at, navigation, page, write
from headwater_reports.warehouse import MissingRelation, Reader

# A chart is drawn twice, in pixels: text would be too small to read in one that shrinks.
WIDTHS = {"desktop": 900, "phone": 320}
# Formats that the dashboards' own script has.
STATIC = {k: v for k, v in CONFIG.items() if k not in ("customFormatTypes", "numberFormatType")}


class NotebookError(Exception):
    """A cell failed; the message is one line."""


def build(reader: Reader, source: Path, output: Path) -> list[Path]:
    """Run every notebook that `source`/index.yml names, and write a page of each; returns them.

    Raises:
        NotebookError: a cell failed.
        LoadError: the warehouse cannot answer.
    """
    shared = {"loaded_at": loaded_at(reader.view(FRESHNESS)), "pages": navigation(source)}
    paths = []
    for declared in yaml.safe_load((source / "index.yml").read_text())["notebooks"]:
        name = declared["name"]
        blocks = run(source / "notebooks" / f"{name}.py")
        text = page("notebook.html.j2", name, title=declared["title"], blocks=blocks, **shared)
        paths.append(output / f"{name}.html")
        write(paths[-1], text.encode())
    return paths


def run(path: Path) -> list[dict[str, Any]]:
    """What the notebook's cells show, in order: {"html"}, or {"chart": by width, its "rows"…}."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        outputs, _ = module.app.run()
    except MissingRelation as missing:
        notice = f"There is no {missing} in the warehouse yet: dbt has not built it."
        return [{"html": f'<h1>{path.stem}</h1><p class="notice">{notice}</p>'}]
    except LoadError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NotebookError(f"{path}: {said}") from error
    return [_block(output) for output in outputs if output is not None]


def _block(output: Any) -> dict[str, Any]:
    if not isinstance(output, alt.TopLevelMixin):
        return {"html": marimo.as_html(output).text}
    spec = output.to_dict()
    name = re.sub(r"\W+", "_", spec["title"].lower()).strip("_")
    return {
        "name": name,
        "title": spec.pop("title"),
        "description": spec["description"],
        "chart": {kind: _svg(spec, width, f"{name}_{kind}") for kind, width in WIDTHS.items()},
        "columns": output.data.column_names,
        "rows": [[_shown(value) for value in row.values()] for row in output.data.to_pylist()],
        "csv": base64.b64encode(_csv(output.data)).decode(),
    }


def _svg(spec: dict[str, Any], width: int, name: str) -> str:
    """The chart as SVG, its ids its own on the page."""
    whole = {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}, "config": STATIC}
    text = vl_convert.vegalite_to_svg(spec | whole)
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{name}_", text)


def _shown(value: Any) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _csv(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.csv.write_csv(table, file)
    return file.getvalue()
