"""The pages' colours can be told apart, and read: by day, in the dark, and by the colour-blind."""

import itertools
import math
import re
from pathlib import Path

import headwater_reports
import pytest

CSS = (Path(headwater_reports.__file__).parent / "templates/page.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#\w+)", block))
    for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
)
# What linear RGB becomes to who lacks one kind of cones (Machado, Oliveira and Fernandes, 2009).
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# To CIE's XYZ, each part of that of white.
XYZ = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1094, 0.8729))
APART = 15  # in CIELAB, where about 2 is noticed


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def linear(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]


def seen(colour, blindness):
    """Lightness and the two hues of a colour, as CIELAB has them."""
    light = [min(max(part, 0), 1) for part in times(BLINDNESS[blindness], linear(colour))]
    x, y, z = (
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116
        for part in times(XYZ, light)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def contrast(one, other):
    """As WCAG has it: from 1 to 21."""
    dark, light = sorted(times(XYZ, linear(colour))[1] for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def alike(series, blindness):
    """The pairs of colours that are too near each other."""
    return [
        (one, other)
        for one, other in itertools.combinations(series, 2)
        if math.dist(seen(one, blindness), seen(other, blindness)) < APART
    ]


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_series_are_told_apart(scheme, blindness):
    series = [colour for name, colour in scheme.items() if name.startswith("series-")]
    assert len(series) == 5
    assert alike(series, blindness) == []


def test_red_and_green_are_too_alike_for_some():
    assert alike(["#a05010", "#607020"], "none") == []
    assert alike(["#a05010", "#607020"], "deuteranopia") == [("#a05010", "#607020")]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_read(scheme):
    for text, under in (
        *(("ink", "paper"), ("ink", "card"), ("muted", "paper"), ("muted", "card")),
        *(("accent", "paper"), ("accent", "card"), ("warn", "warn-paper")),
    ):
        assert contrast(scheme[text], scheme[under]) >= 4.5, (text, under)
