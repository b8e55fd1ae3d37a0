"""python -m docs.losses [--check]: docs/losses.md, a line for each loss, and the curves beside the names, in docs/curves.

Everything comes from the registry: a loss that is added is in it after `make openapi`.
"""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from app.errors import CallerError
from app.insight.curves import axis_of, curve
from app.libraries import with_twins
from app.losses import LOSSES, Loss
from app.losses.form import bind

FOLDER = Path(__file__).parent
WIDTH, HEIGHT, MARGIN, FINE = 96, 32, 2, 4
"""Of a picture in pixels, and into how many steps each of these is divided."""
POINTS = 49
INK = "#3987e5"
"""A blue that shows on white and on black."""
STEEP = 90.0
"""The share of a curve, in percent, that has to be seen whole where its ends are beyond all measure."""
HEAD = """# The losses

One line for each of the {count} losses: its curve where it is one of a single number, its name, what one element costs, and what
it is called elsewhere. `GET /v1/losses/{{name}}` tells all else: parameters, gradient, symbols, when to use it and when not,
and where other libraries differ. This page is made by `python -m docs.losses`.
"""
TABLE = "| | loss | formula | names at home |\n|---|---|---|---|\n"


def page() -> str:
    """The page, family by family."""
    parts = [HEAD.format(count=len(LOSSES))]
    for family, losses in groupby(LOSSES.values(), key=lambda loss: loss.family):
        some = [*losses]
        lines = "\n".join(map(_line, some))
        parts.append(
            f"\n## {family}\n\n{some[0].family_summary}\n\n| | loss | formula | names at home |\n|---|---|---|---|\n{lines}\n"
        )
    return "".join(parts)


def _line(loss: Loss) -> str:
    shown = f"![](curves/{loss.name}.svg)" if path_of(loss) else ""
    formula = loss.formula.replace("|", "\\|")
    return f"| {shown} | `{loss.name}` | `{formula}` | {', '.join(f'`{name}`' for name in names_of(loss))} |"


def names_of(loss: Loss) -> list[str]:
    """What it is called elsewhere: its aliases, and the calls of libraries that are the same."""
    calls = (equal.function for equal in with_twins(loss.equals) if equal.is_plain)
    return [*dict.fromkeys((*(other.name for other in loss.aliases), *calls))]


def path_of(loss: Loss) -> str:
    """The curve under the defaults as the path of a picture, '' where a loss has none."""
    bound = bind(loss, {})
    try:
        axis = axis_of(bound)
        x = np.linspace(axis.low, axis.high, POINTS)
        value = curve(bound, axis, x, axis.target).value
    except CallerError:
        return ""
    known = value[np.isfinite(value)]
    low, high = float(known.min()), float(known.max())
    if high > 8.0 * float(np.percentile(known, STEEP)) > 0.0:  # a pole, beside which all else would be a line
        high = float(np.percentile(known, STEEP))
    drawn = np.clip(np.where(np.isfinite(value), value, high), low, high)
    across = np.round(FINE * np.linspace(MARGIN, WIDTH - MARGIN, POINTS)).astype(int)
    above = (drawn - low) / ((high - low) or 1.0) * (HEIGHT - 2 * MARGIN)
    down = np.round(FINE * (HEIGHT - MARGIN - above)).astype(int)
    return "M" + " ".join(f"{right} {below}" for right, below in zip(across.tolist(), down.tolist(), strict=True))


def picture(path: str) -> str:
    """A curve as SVG of a few hundred bytes."""
    box = f"0 0 {FINE * WIDTH} {FINE * HEIGHT}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="{box}">'
    return f'{head}<path d="{path}" fill="none" stroke="{INK}" stroke-width="{2 * FINE}" stroke-linejoin="round"/></svg>\n'


def wanted() -> Iterator[tuple[Path, str]]:
    """Every file under docs/ that is made here, with what belongs in it."""
    yield Path("losses.md"), page()
    for loss in LOSSES.values():
        if path := path_of(loss):
            yield Path("curves", f"{loss.name}.svg"), picture(path)


def drifted() -> dict[Path, str | None]:
    """The files that are not what belongs in them, with that; None for one of a loss that is gone."""
    made = dict(wanted())
    gone = [path.relative_to(FOLDER) for path in (FOLDER / "curves").glob("*.svg")]
    changed = {path: text for path, text in made.items() if _found(FOLDER / path) != text}
    return {**changed, **{path: None for path in gone if path not in made}}


def _found(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


def main() -> int:
    checks = sys.argv[1:] == ["--check"]
    changes = drifted()
    for path, text in changes.items():
        file = FOLDER / path
        if checks:
            print(f"{file} is not what the code says: run `make openapi`", file=sys.stderr)
        elif text is None:
            file.unlink()
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return 1 if checks and changes else 0


if __name__ == "__main__":
    sys.exit(main())
