"""Every chart, of ordinary and of odd answers, in both themes: it can be drawn, it says what it shows, and holds nothing else."""

import base64
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest

from app.api.curve import draw_curve
from app.insight import charts
from app.insight.charts.theme import THEMES, named, spaced, thinned, within, written
from app.serving.address import Rest
from app.wire.json import encode
from app.wire.pictures import PIXELS
from tests.insight.answers import ANALYSES, COMPARED, COMPARISONS, LONG, RUNS, STRANGE

SVG = "{http://www.w3.org/2000/svg}"


def curve(name: str, against: str | None = None, **more: Any) -> dict[str, Any]:
    rest = Rest({key: [str(value)] for key, value in more.pop("parameters", {}).items()})
    return json.loads(encode(draw_curve(name, rest, against, **more)))


CURVES: Mapping[str, dict[str, Any]] = {
    "one": curve("mse"),
    "several": curve("huber", "mae,log_cosh,smooth_l1,quantile,mse,epsilon_insensitive,max_error", parameters={"delta": 1.5}),
    "kinks": curve("epsilon_insensitive", "huber", parameters={"epsilon": 1}),
    "same name": curve("quantile", "quantile,quantile", parameters={"quantile": 0.9}),
    "pole": curve("bce", "brier_score,binary_focal"),
    "poles": curve("bce", target=0.4),
    "two points": curve("mae", points=2),
    "constant": curve("hinge", low=2, high=3),
    "infinite": curve("exponential", low=-5000, high=-4000),
    "huge": curve("mse", low=-1e90, high=1e90),
    "tiny": curve("mse", low=1e-9, high=2e-9),
}
CHARTS: Mapping[str, tuple[Callable[[Any, Any], dict[str, Any]], Mapping[str, dict[str, Any]]]] = {
    "curve": (charts.curve, CURVES),
    "analyze": (charts.analyze, ANALYSES),
    "compare": (charts.compare, COMPARISONS),
    "train": (charts.train, RUNS),
    "train compare": (charts.train_compare, COMPARED),
}
DEFINITIONS = {
    f"{kind} {name} {theme}": chart(answer, theme)
    for kind, (chart, answers) in CHARTS.items()
    for name, answer in answers.items()
    for theme in THEMES
}


@pytest.fixture(scope="module")
def drawn() -> tuple[dict[str, dict[str, str]], str]:
    """Every chart as SVG, and what was said meanwhile. In dark, the first of each kind, as PNG too."""
    first = {f"{kind} {next(iter(answers))} dark" for kind, (_, answers) in CHARTS.items()}
    asked = {name: spec for name, spec in DEFINITIONS.items() if name.endswith(" light") or name in first}
    command = [sys.executable, "-m", "tests.insight.render"]
    found = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=240, check=True)
    return json.loads(found.stdout), found.stderr


def texts(value: object) -> list[str]:
    """Every string of a definition."""
    if isinstance(value, str):
        return [value]
    parts = cast(dict[str, object], value).values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in cast(Any, parts) for text in texts(part)]


def test_a_definition_is_whole_and_holds_its_data() -> None:
    for name, definition in DEFINITIONS.items():
        assert definition["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6"), name
        assert len(definition["description"]) > 40, name
        assert re.search(r"\d", definition["description"]), name
        assert definition["title"]["text"], name
        text = json.dumps(definition, allow_nan=False)  # which refuses what is none
        assert '"url"' not in text, name
        assert len(text) < 600_000, (name, len(text))


def test_no_text_holds_what_is_no_number() -> None:
    for name, definition in DEFINITIONS.items():
        if "names" not in name:  # where a group is called so
            wrong = [text for text in texts(definition) if re.search(r"\b(?:NaN|nan|null|None|undefined|inf|Infinity)\b", text)]
            assert not wrong, (name, wrong)


def test_charts_are_drawn_without_a_warning(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    warned = [line for line in drawn[1].splitlines() if not line.startswith("drawing ")]
    assert not warned


def test_pictures_are_what_they_should_be(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    for name, picture in drawn[0].items():
        root = ElementTree.fromstring(picture["svg"])
        assert (root.tag, root.get("role")) == (f"{SVG}svg", "img"), name
        assert [element.tag for element in root[:2]] == [f"{SVG}title", f"{SVG}desc"], name
        assert [element.text for element in root[:2]] == [DEFINITIONS[name]["title"]["text"], DEFINITIONS[name]["description"]], (
            name
        )
        assert len([text for text in root.iter(f"{SVG}text") if "".join(text.itertext()).strip()]) >= 3, name
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert not tags & {"script", "style", "image", "foreignObject", "use", "a"}, name
        for element in root.iter():
            assert not [key for key in element.attrib if "href" in key or key.startswith("on") or key == "style"], name
            assert "url(http" not in " ".join(element.attrib.values()), name
        assert not re.search(r">(?:NaN|undefined|null)<|[\"(, ]NaN", picture["svg"].replace(">null (", "")), name


def test_a_png_is_the_same_and_opaque(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    for name, picture in drawn[0].items():
        if "png" not in picture:
            continue
        width, height, corner = head(base64.b64decode(picture["png"]))
        root = ElementTree.fromstring(picture["svg"])
        assert (width, height) == tuple(int(float(root.attrib[side]) * PIXELS) for side in ("width", "height")), name
        assert corner == 255, name


def test_a_picture_is_large_enough(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    for name, picture in drawn[0].items():
        root = ElementTree.fromstring(picture["svg"])
        sides = [float(root.attrib[side]) * PIXELS for side in ("width", "height")]
        assert min(sides[0] / 300, sides[1] / 200) >= 1, (name, sides)


def test_samples_are_counted_in_whole_numbers() -> None:
    answer = json.loads(json.dumps(next(iter(ANALYSES.values()))))
    for most in (0, 1, 2, 4, 5, 9, 10, 37, 99, 1000, 12345):
        counts = answer["distribution"]["histogram"]["counts"]
        answer["distribution"]["histogram"]["counts"] = [most] * len(counts)
        (axis,) = {
            json.dumps(layer["encoding"]["y"]["axis"]["values"])
            for panel in charts.analyze(answer, "light")["concat"]
            for layer in panel["layer"]
            if "title" in layer["encoding"].get("y", {}) and layer["encoding"]["y"]["title"] == "samples"
        }
        values = json.loads(axis)
        assert values == sorted(set(values))
        assert 2 <= len(values) <= 6
        assert max(most, 1) / 2 < values[-1] <= max(most, 1)


def head(png: bytes) -> tuple[int, int, int]:
    """Width, height, and how opaque the first pixel is."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colours = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    blocks, start = b"", 8
    while start < len(png):
        length, kind = struct.unpack(">I4s", png[start : start + 8])
        blocks += png[start + 8 : start + 8 + length] if kind == b"IDAT" else b""
        start += 12 + length
    return width, height, zlib.decompress(blocks)[4] if colours == 6 else 255


def test_names_are_text_and_no_more(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    for name, picture in drawn[0].items():
        assert "<script" not in picture["svg"], name
        assert LONG not in picture["svg"], name
    assert "&lt;script&gt;" in drawn[0]["analyze names light"]["svg"]
    assert "\u0000" not in named(STRANGE)
    assert "\n" not in named(STRANGE)


def test_the_description_says_the_numbers() -> None:
    regression = DEFINITIONS["analyze regression light"]["description"]
    assert f"{ANALYSES['regression']['value']:.4g}" in regression
    assert "site" in regression
    assert "13.8" in regression
    two = DEFINITIONS["compare two light"]["description"]
    assert "old and new differ by 0.3" in two
    assert "new has the lowest loss." in two
    falling = DEFINITIONS["train falling light"]["description"]
    assert "80 epochs" in falling
    assert f"from 1 to {np.exp(-79 / 12):.4g}." in falling
    assert "best epoch is 80" in falling
    several = DEFINITIONS["curve several light"]["description"]
    assert "huber: 3.375 at the left end" in several
    assert "mean_absolute_error" in several
    assert "a kink at 0" in several
    assert "grows without bound at 0 and 1" in DEFINITIONS["curve poles light"]["description"]


def test_themes_can_be_read() -> None:
    """Text on its panel at 4.5 to 1, lines at 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    for name, theme in THEMES.items():
        for colour, least in [(theme.ink, 4.5), (theme.muted, 4.5), (theme.bad, 4.5), (theme.control, 3.0)] + [
            (one, 3.0) for one in theme.series
        ]:
            assert contrast(colour, theme.panel) >= least, (name, colour)


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_theme_changes_the_colours_alone() -> None:
    for kind, (chart, answers) in CHARTS.items():
        for name, answer in answers.items():
            light, dark = (
                re.sub('#[0-9a-f]{6}|"light": (?:true|false)', "#", json.dumps(chart(answer, theme))) for theme in THEMES
            )
            assert light == dark, (kind, name)


def test_numbers_are_written_for_people() -> None:
    found = [
        written(number)
        for number in (0.0, -0.0, 1, -1.5, 1234.5, 12345.678, 1e-7, 1.23456e200, 0.30000000000000004, None, float("nan"))
    ]
    assert found == [
        "0",
        "0",
        "1",
        "−1.5",
        "1,234",
        "12,346",
        "1e-07".replace("e-07", "e−7"),
        "1.235e200",
        "0.3",
        "infinite",
        "infinite",
    ]


def test_labels_keep_their_distance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 8))
        wanted = rng.uniform(-0.2, 1.2, count).tolist()
        places = spaced(wanted, 0.1, 0.0, 1.0)
        assert min(np.diff(sorted(places)), default=1.0) >= 0.1 - 1e-12
        assert min(places) >= -1e-12
        assert max(places) <= 1.0 + 1e-12
        assert np.argsort(places, kind="stable").tolist() == np.argsort(wanted, kind="stable").tolist()


def test_a_thinned_line_looks_the_same() -> None:
    x = np.linspace(-3, 3, 801)
    for y in (np.abs(x), x**2, np.exp(x), np.where(x > 0.3, 1.0, 0.0), np.sin(20 * x)):
        across, up = 560 / 6, 240 / np.ptp(y)
        kept = thinned([*zip(x.tolist(), y.tolist(), strict=True)], across, up)
        steep = np.hypot(1.0, np.gradient(y * up, x * across))
        apart = np.abs(np.interp(x, *np.array(kept).T) - y) * up / steep
        assert apart.max() < 0.3
        assert len(kept) < 801
        assert kept[0][0] == -3
        assert kept[-1][0] == 3
    many = np.random.default_rng(0).normal(size=20_000)
    kept = thinned([*enumerate(many.tolist())], 0.03, 40.0)
    assert len(kept) <= 1502
    assert {many.min(), many.max()} <= {y for _, y in kept}


def test_a_line_is_cut_where_it_leaves_the_panel() -> None:
    """Every point between two heights is drawn, none outside; in pieces that end at the heights, where the line crosses them."""
    step = [(0.0, 0.0), (1.0, 4.0), (2.0, 2.0), (3.0, -6.0), (4.0, -1.0), (5.0, 9.0)]
    assert [*within(step, -2.0, 3.0)] == [
        [(0.0, 0.0), (0.75, 3.0)],
        [(1.5, 3.0), (2.0, 2.0), (2.5, -2.0)],
        [(3.8, -2.0), (4.0, -1.0), (4.4, 3.0)],
    ]
    assert [*within([(0.0, -9.0), (1.0, 9.0)], 0.0, 3.0)] == [[(0.5, 0.0), (2 / 3, 3.0)]]
    assert [*within(step, -9.0, 9.0)] == [step]
    assert [*within(step, 20.0, 30.0)] == [*within([], 0.0, 1.0)] == []
    rng = np.random.default_rng(0)
    for _ in range(200):
        walk = [*enumerate(rng.standard_normal(40).cumsum().tolist())]
        pieces = [*within(walk, -1.0, 2.0)]
        drawn = [point for piece in pieces for point in piece]
        assert [point for point in drawn if point in walk] == [point for point in walk if -1 <= point[1] <= 2]
        assert all(-1 <= y <= 2 for _, y in drawn)
        places, heights = zip(*walk, strict=True)
        assert np.allclose([y for _, y in drawn], np.interp([x for x, _ in drawn], places, heights), atol=1e-12)
        assert all(
            y in (-1.0, 2.0) for piece in pieces for (x, y) in (piece[0], piece[-1]) if x not in (0, 39) and (x, y) not in walk
        )


def test_nothing_is_clipped_by_the_renderer(drawn: tuple[dict[str, dict[str, str]], str]) -> None:
    """Which takes a PNG five times as long; lines are cut before."""
    assert not [name for name, picture in drawn[0].items() if "clip-path" in picture["svg"]]
