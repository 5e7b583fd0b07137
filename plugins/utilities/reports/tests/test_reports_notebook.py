"""The notebook and its page: the estimate by hand, what it says, and how a browser shows it."""

import base64
import csv
import math
import shutil

import pytest
from headwater_reports import notebook
from headwater_reports.warehouse import open_warehouse
from playwright.sync_api import sync_playwright

SHARE, QUARTERS = (
    "share_of_people_who_have_ordered_again",
    "share_who_ordered_again_by_the_quarter_of_their_first_order",
)


def run(source):
    blocks = notebook.run(source / "notebooks/second_orders.py")
    charts = {block["name"]: block for block in blocks if "chart" in block}
    return charts, "\n".join(block["html"] for block in blocks if "html" in block)


def rows(block):
    text = base64.b64decode(block["csv"]).decode()
    return [
        {k: maybe_number(v) for k, v in row.items()} for row in csv.DictReader(text.splitlines())
    ]


def maybe_number(text):
    try:
        return float(text)
    except ValueError:
        return text


def test_the_estimate_is_kaplan_and_meiers(execute, source):
    charts, text = run(source)
    # Seven people: one is back after 1 day, one is not seen after 2, two of five are back after 3,
    # one of three after 5.
    assert {row["days"]: row["share"] for row in rows(charts[SHARE])} == pytest.approx(
        {
            1: 1 - 6 / 7,
            2: 1 - 6 / 7,
            3: 1 - 18 / 35,
            5: 1 - 12 / 35,
            6: 1 - 12 / 35,
            400: 1 - 12 / 35,
        }
    )
    # Greenwood's variance, on the scale of the logarithm of the logarithm.
    left, variance = 12 / 35, 1 / (7 * 6) + 2 / (5 * 3) + 1 / (3 * 2)
    reach = math.exp(1.959964 * math.sqrt(variance) / abs(math.log(left)))
    (after_five,) = (row for row in rows(charts[SHARE]) if row["days"] == 5)
    assert (after_five["low"], after_five["high"]) == pytest.approx(
        (1 - left ** (1 / reach), 1 - left**reach), abs=1e-5
    )
    # A plain share would be 4 of 7.
    assert "<strong>App</strong>: 7 people ordered first here" in text
    assert "Within 90 days <strong>65.7\N{NO-BREAK SPACE}%</strong>" in text
    assert after_five["channel"] == "App"


def test_quarters_that_were_not_waited_for_have_no_mark(execute, source):
    charts, text = run(source)
    assert {(row["quarter"], row["within"]) for row in rows(charts[QUARTERS])} == {
        ("2026 Q1", "30 days"),
        ("2026 Q1", "90 days"),
        ("2026 Q1", "180 days"),
    }
    assert "It is too early to say." in text


def test_channels_are_compared(execute, source):
    execute(
        "insert into reporting.second_orders values "
        "('shopify', '2026-01-01', true, 200, 40), ('shopify', '2026-01-01', false, 300, 9)"
    )
    charts, text = run(source)
    assert {row["channel"] for row in rows(charts[SHARE])} == {"App", "Shopify"}
    assert "The channels differ by more than chance explains (log-rank test, p &lt; 0.001)" in text


def page(source, folder):
    with open_warehouse() as reader:
        (path,) = notebook.build(reader, source, folder)
    return path


def test_without_orders_the_page_says_so(execute, source, tmp_path):
    execute("delete from reporting.second_orders")
    text = page(source, tmp_path / "reports").read_text()
    assert "Nobody has ordered yet." in text
    assert "<svg" not in text


def test_without_its_view_the_page_says_so(execute, source, tmp_path):
    execute("drop table reporting.second_orders")
    with open_warehouse() as reader:
        (path,) = notebook.build(reader, source, tmp_path / "reports")
    assert "There is no second_orders in the warehouse yet" in path.read_text()


def test_a_cell_that_fails_is_named_in_one_line(execute, source):
    path = source / "notebooks/second_orders.py"
    path.write_text(path.read_text().replace("CONFIDENCE = 0.95", "CONFIDENCE = 1 / 0"))
    with pytest.raises(notebook.NotebookError, match=r"second_orders.py: ZeroDivisionError: div"):
        notebook.run(path)


@pytest.mark.parametrize(("width", "shown"), [(1280, "desktop"), (390, "phone")])
def test_a_browser_shows_the_page_offline(execute, source, tmp_path, width, shown):
    path = page(source, tmp_path / "reports")
    assert path.stat().st_size < 3_000_000
    requests, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
            + ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"],
        )
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(path.as_uri())
        assert tab.locator("h1").inner_text() == "When do people order again?"
        assert tab.locator("h1").count() == 1
        assert "30 June 2026, 19:00" in tab.locator("footer").inner_text()
        charts = tab.locator("figure svg:visible")
        assert charts.count() == 2
        for number in range(2):
            box = charts.nth(number).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert tab.locator(f"figure .{shown} svg:visible").count() == 2
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        # Colours are the page's own, in the dark too.
        line = tab.locator(f"figure .{shown} .mark-line path").first
        colour = "element => getComputedStyle(element).stroke"
        by_day = line.evaluate(colour)
        tab.emulate_media(color_scheme="dark")
        by_night = line.evaluate(colour)
        assert len({by_day, by_night, "none"}) == 3
        with tab.expect_download() as download:
            tab.locator("a.csv").first.click()
        lines = download.value.path().read_text().splitlines()
        assert lines[0].replace('"', "").split(",") == ["days", "share", "low", "high", "channel"]
        assert download.value.suggested_filename == f"{SHARE}.csv"
        browser.close()
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_the_browser_sees_what_would_be_asked_for(tmp_path):
    """The check above can fail: a page that asks for something is seen to."""
    path = tmp_path / "asks.html"
    path.write_text(
        '<link rel="icon" href="data:,"><script src="https://cdn.example/x.js"></script>'
    )
    requests = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"],
        )
        tab = browser.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        browser.close()
    assert "https://cdn.example/x.js" in requests
