"""`index.html`: the report as one page that needs no other files and no network.

The browser draws the figures from the data in the page. Without JavaScript, and on paper, their images take
their place. Texts and tables need neither.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scattermec._settings import notes_of
from scattermec._yaml import show as show_value
from scattermec.experiments.calibrate.tables import COMMAND, conflicts_table, part_of_range, shipped
from scattermec.experiments.claims.evidence import digits
from scattermec.experiments.claims.optima import MARKS, Finding
from scattermec.experiments.measure.beams import BEAMS
from scattermec.experiments.measure.sweeps import ALL_METRICS
from scattermec.experiments.measure.table import Table
from scattermec.experiments.report import abstract, learning_figures, markdown, overview
from scattermec.experiments.report.captions import (
    LEARNING_FIGURES,
    TITLES,
    frames_text,
    policy_label,
    reading,
    runs_text,
    sentence,
)
from scattermec.experiments.report.commands import figure_command, training_commands
from scattermec.experiments.report.contents import Contents
from scattermec.experiments.report.figures import Picture, panels_of, rows_of
from scattermec.experiments.report.panels import Line, Panel, learning_panels
from scattermec.experiments.studies import frame
from scattermec.pictures import style
from scattermec.storage import replace_text

NAME = "index.html"

DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
STROKES = {"-": "", "--": "5 3", "-.": "6 2.5 1.5 2.5", ":": "1.5 2.5"}
SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "x": "x", "": ""}


@dataclass(frozen=True)
class Row:
    """Panels side by side, such as those of one kind of beams."""

    title: str
    panels: tuple[Panel, ...]
    picture: str
    """the same as an image: name of its files without the suffix"""


@dataclass(frozen=True)
class Figure:
    """One figure of the page."""

    name: str
    title: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    command: str

    @property
    def label(self) -> str:
        """Its name for readers."""
        return "Beams" if self.name == "beams" else f"Fig. {self.name}"


def write(contents: Contents) -> Path:
    """Write the page into the folder, whose pictures must exist; returns its path."""
    path = contents.folder / NAME
    replace_text(path, render(contents))
    return path


def render(contents: Contents) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    shown = figures(contents)
    glance = contents.folder / f"{overview.STEM}.svg"
    environment = Environment(
        loader=PackageLoader("scattermec.experiments.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": sentence, "prose": _prose}
    return environment.get_template("report.html").render(
        contents=contents,
        settings=contents.settings,
        record=contents.record,
        paper=markdown.PAPER,
        abstract=abstract.sentences(contents),
        answer=abstract.answer(contents),
        overview=data_address(glance) if glance.exists() else "",
        claims=claims_tables(contents),
        conflicts=conflicts_table(shipped(), COMMAND),
        kind_label=markdown.kind_label,
        condition_mark=markdown.MARKS,
        marks=MARKS,
        figures=shown,
        legend=legend,
        numbers=numbers,
        image=lambda stem: data_address(contents.folder / f"{stem}.svg"),
        drawings=script_json({figure.name: drawing(figure) for figure in shown}),
        frame_titles=frame.TITLES,
        frame_stem=frame.stem,
        scenario=scenario_table(contents),
        metrics=ALL_METRICS,
        duration=markdown.duration,
        versions=markdown.versions_text(contents),
        redraw=markdown.redraw_command(contents),
        script=get_plotlyjs(),
    )


# Claims


@dataclass(frozen=True)
class ClaimRow:
    """A claim with its verdicts."""

    verdicts: tuple[str, ...]
    """one per column of the table; empty where it was not judged"""
    share: str
    """part of the range in which it holds; empty if unknown"""
    findings: tuple[Finding, ...]
    """the evidence in the reproduced scenario, never empty"""


@dataclass(frozen=True)
class ClaimsTable:
    """Verdicts of one type: on optima by kind of beams, or on learning by preset."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[ClaimRow, ...]
    has_shares: bool


def claims_tables(contents: Contents) -> list[ClaimsTable]:
    """The table about learning, if there is one, and the table about optima, over all scenarios."""
    titles = "Learning (Fig. 2), by preset of the training", "Optima (Fig. 3 and 4), by kind of beams"
    sorts = zip(titles, markdown.learned_and_exact(contents.findings), strict=True)
    return [_claims_table(title, own, contents) for title, own in sorts if own]


def _claims_table(title: str, findings: Sequence[Finding], contents: Contents) -> ClaimsTable:
    record = shipped()
    groups = markdown.by_claim(findings)
    names = [group[0].name for group in groups]
    columns = [markdown.kind_label(finding) for finding in groups[0]]
    others = {
        f"{label}, {markdown.label_of(kind)}": verdicts
        for label, by_kind in contents.named.items()
        for kind, verdicts in by_kind.items()
        if set(names) & set(verdicts)
    }
    rows = tuple(
        ClaimRow(
            verdicts=(
                *(finding.verdict for finding in group),
                *(verdicts.get(name, "") for verdicts in others.values()),
            ),
            share=part_of_range(record, name) if name in record["shares"] else "",
            findings=tuple(group),
        )
        for name, group in zip(names, groups, strict=True)
    )
    return ClaimsTable(title, (*columns, *others), rows, any(row.share for row in rows))


# Figures


def figures(contents: Contents) -> list[Figure]:
    """All figures that can be drawn, in the paper's order."""
    folder, settings, scenario = contents.folder, contents.settings, contents.scenario
    found = []
    for name in LEARNING_FIGURES if contents.curves else ():
        paper, *symbols = reading(name)
        runs = f"{runs_text(contents.curves)}, means over seeds with 95% bootstrap intervals."
        notes = (paper, " ".join((*symbols, runs)))
        row = Row("", learning_panels(name, contents.curves), learning_figures.stem(name))
        command = "\n".join(training_commands(contents.curves, scenario, folder))
        found.append(Figure(name, TITLES[name], notes, (row,), command))
    for name in dict.fromkeys(picture.name for picture in contents.pictures):
        pictures = [picture for picture in contents.pictures if picture.name == name]
        scheme = "each scheme" if name == "4b" else "Hybrid-offload"
        kinds = {picture.beams for picture in pictures}
        shown = [row for row in rows_of(name, contents.measurements) if "" in kinds or row.beams in kinds]
        how = f"Exact optima, {scheme}, {frames_text(shown)}, 95% intervals shaded."
        parts = [name]
        if any(picture.beams and picture.beams not in BEAMS for picture in pictures):
            how += " Learned beams, with the exact allocation for them: means and intervals over seeds."
            parts.append("learned")
        rows = tuple(_row(picture, contents) for picture in pictures)
        command = figure_command(parts, settings, scenario, folder)
        found.append(Figure(name, TITLES[name], (*reading(name), how), rows, command))
    return found


def _row(picture: Picture, contents: Contents) -> Row:
    title = policy_label(picture.beams) if picture.beams else ""
    return Row(sentence(title), panels_of(picture, contents.measurements), picture.stem)


@dataclass(frozen=True)
class LegendEntry:
    """An entry that toggles the lines of a look, or of a role."""

    label: str
    colour: str
    strokes: str
    """dashes, as SVG names them"""


def legend(figure: Figure) -> list[LegendEntry]:
    """Looks in their order, then roles."""
    looks: dict[str, LegendEntry] = {}
    roles: dict[str, LegendEntry] = {}
    for line in _lines(figure):
        dashes, role = STROKES[line.look.linestyle], line.role
        looks.setdefault(line.look.label, LegendEntry(line.look.label, line.look.colour, dashes))
        if role:
            roles.setdefault(role, LegendEntry(role, style.QUIET, dashes))
    for panel in (panel for row in figure.rows for panel in row.panels):
        if panel.level and panel.level.label:
            level = panel.level
            entry = LegendEntry(level.label, level.colour, STROKES[level.linestyle])
            roles.setdefault(level.label, entry)
    return [*looks.values(), *roles.values()]


def drawing(figure: Figure) -> list[list[dict[str, Any]]]:
    """Input of the page's script: rows of panels, each with Plotly's traces and layout.

    Panels above one another share their ordinate, so that rows can be compared.
    """
    columns = zip(*(row.panels for row in figure.rows), strict=True)
    ranges = [_range(column) for column in columns]
    return [
        [_panel(panel, ends) for panel, ends in zip(row.panels, ranges, strict=True)] for row in figure.rows
    ]


def _panel(panel: Panel, ends: tuple[float, float]) -> dict[str, Any]:
    traces = []
    for line in panel.lines:
        groups = [line.look.label, *([line.role] if line.role else [])]
        if line.band:
            traces.append(_band(line) | {"meta": groups})
        traces.append(_line(line) | {"meta": groups})
    if panel.level:
        traces.append(_level(panel))
    abscissa: dict[str, Any] = {"title": {"text": panel.abscissa}}
    if panel.octaves:
        ticks = [f"{tick:g}" for tick in panel.octaves]
        abscissa |= {"type": "log", "tickvals": list(panel.octaves), "ticktext": ticks}
    return {
        "title": panel.title,
        "data": traces,
        "layout": {
            "xaxis": abscissa | {"hoverformat": ".4~g"},
            "yaxis": {"title": {"text": panel.ordinate}, "range": [_digits(end) for end in ends]},
        },
    }


def _line(line: Line) -> dict[str, Any]:
    drawn, look = line.curve, line.look
    marker = SYMBOLS[look.marker]
    return {
        "type": "scatter",
        "mode": "lines+markers" if marker else "lines",
        "name": look.label + (f", {line.role[:1].lower()}{line.role[1:]}" if line.role else ""),
        "x": _list(drawn.values),
        "y": _list(drawn.mean),
        "text": [_interval(*point, drawn.unit) for point in _points(line)],
        "hovertemplate": "%{fullData.name}: %{text}<extra></extra>",
        "line": {"color": look.colour, "dash": DASHES[look.linestyle], "width": 2 if line.band else 1.3},
        "marker": {"symbol": marker or "circle", "size": 7},
    }


def _band(line: Line) -> dict[str, Any]:
    drawn = line.curve
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*_list(drawn.values), *_list(drawn.values[::-1])],
        "y": [*_list(drawn.high), *_list(drawn.low[::-1])],
        "fill": "toself",
        "fillcolor": line.look.colour + "2e",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _level(panel: Panel) -> dict[str, Any]:
    assert panel.level is not None
    level = panel.level
    values = [line.curve.values for line in panel.lines]
    ends = [min(map(np.min, values), default=0), max(map(np.max, values), default=1)]
    hover = {"hovertemplate": f"{level.label}: %{{y:.4~g}}<extra></extra>"} if level.label else {}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": level.label,
        "x": [_digits(float(end)) for end in ends],
        "y": [_digits(level.value)] * 2,
        "line": {"color": level.colour, "dash": DASHES[level.linestyle], "width": 1.5},
        "hoverinfo": "all" if level.label else "skip",
        "meta": [level.label] if level.label else [],
        **hover,
    }


def _range(panels: Sequence[Panel]) -> tuple[float, float]:
    """Ends of the ordinate that panels share."""
    numbers = [
        np.concatenate([line.curve.mean, line.curve.low, line.curve.high])
        for panel in panels
        for line in panel.lines
    ]
    numbers += [np.array([panel.level.value]) for panel in panels if panel.level]
    every = np.concatenate([*numbers, [0.0]]) if numbers else np.array([0.0, 1.0])
    every = every[np.isfinite(every)]
    low, high = panels[0].limits
    top = float(every.max()) or 1.0
    if low is None:
        shown = np.concatenate(numbers)
        shown = shown[np.isfinite(shown)]
        bottom = float(shown.min()) if shown.size else 0.0
        low = bottom - 0.06 * (top - bottom)
    elif low == 0:
        low = -0.02 * top
    return low, 1.05 * top if high is None else high


def numbers(row: Row) -> list[Table]:
    """The numbers behind the panels of a row, one table per panel."""
    tables = []
    for panel in row.panels:
        lines = [line for line in panel.lines if line.curve.values.size]
        values = sorted({float(value) for line in lines for value in line.curve.values})
        cells = [
            {
                float(x): _interval(*point, "")
                for x, point in zip(line.curve.values, _points(line), strict=True)
            }
            for line in lines
        ]
        tables.append(
            Table(
                title=panel.title,
                note=panel.ordinate,
                columns=(panel.abscissa, *(_line(line)["name"] for line in lines)),
                rows=tuple((f"{x:g}", *(column.get(x, "") for column in cells)) for x in values),
            )
        )
    return tables


def _points(line: Line) -> list[tuple[float, float, float]]:
    drawn = line.curve
    return [tuple(map(float, point)) for point in zip(drawn.mean, drawn.low, drawn.high, strict=True)]  # type: ignore[misc]


def _interval(mean: float, low: float, high: float, unit: str) -> str:
    unit = f" {unit}" if unit else ""
    return f"{digits(mean)} ({digits(low)} to {digits(high)}){unit}"


def _lines(figure: Figure) -> list[Line]:
    return [line for row in figure.rows for panel in row.panels for line in panel.lines]


def _list(values: np.ndarray) -> list[float | None]:
    return [_digits(float(value)) for value in values]


def _digits(value: float) -> float | None:
    """Six digits, more than can be seen; None for values that JSON lacks."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def script_json(data: Any) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")


# The rest


def scenario_table(contents: Contents) -> list[tuple[str, str, str, str, str]]:
    """Name, symbol, value, unit and meaning of all constants, in the order of the scenario's file."""
    constants = []
    for name, field in type(contents.scenario).model_fields.items():
        notes = notes_of(field)
        value = show_value(getattr(contents.scenario, name))
        constants.append((name, notes["symbol"], value, notes["unit"], field.description or ""))
    return constants


def _prose(text: str) -> Any:
    """HTML of a text with code in backquotes, as in Markdown."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def data_address(path: Path) -> str:
    """A picture as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
