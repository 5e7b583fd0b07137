"""Make docs/images from the reports in output/reports: `python docs/screenshots.py`."""

import shutil
import sys
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
REPORTS = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "output/reports")
IMAGES = ROOT / "docs/images"
INDEX = yaml.safe_load((ROOT / "analyze/index.yml").read_text())
PHONE = {"width": 390, "height": 1100}
DESKTOP = {"width": 1200, "height": 1100}

IMAGES.mkdir(exist_ok=True)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
    )
    for name in [*INDEX["dashboards"], *(notebook["name"] for notebook in INDEX["notebooks"])]:
        for suffix, context in {
            "": {"viewport": DESKTOP},
            "-dark": {"viewport": DESKTOP, "color_scheme": "dark"},
            "-phone": {"viewport": PHONE},
        }.items():
            page = browser.new_context(**context).new_page()
            page.goto((REPORTS / f"{name}.html").absolute().as_uri())
            if name in INDEX["dashboards"]:
                page.wait_for_selector("body[data-state=drawn]")
            page.screenshot(path=IMAGES / f"{name}{suffix}.png")
            page.close()
