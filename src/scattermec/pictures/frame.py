"""One frame in one picture: positions, schedule, energies and work."""

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from scattermec.physics import Allocation, Frame, Outcome, Parameters
from scattermec.pictures import style
from scattermec.pictures._facts import FrameFacts, frame_facts
from scattermec.pictures.style import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
else:
    # For annotations that are evaluated at run time.
    Axes = Figure = Text = Any

_WIDTH, _HEIGHT = 1200, 800
"""The page in pixels, at 100 dots per inch; the boxes below are left, top, width and height on it."""

_BOXES = {
    "map": (36, 152, 318, 318),
    "beams": (462, 148, 710, 72),
    "received": (462, 226, 710, 118),
    "timeline": (462, 352, 710, 100),
    "energy": (112, 548, 480, 196),
    "work": (702, 548, 470, 196),
}

_MAP_NOTES = {
    "given": "the wider a line, the more energy arrives",
    "mirrored": "line width: energy; left or right not known",
    "spread": "line width: energy; directions not known",
}


def draw_frame(
    parameters: Parameters,
    frame: Frame,
    beams: ArrayLike,
    allocation: Allocation,
    outcome: Outcome,
    positions: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw one frame as a picture of 1200 x 800 pixels at 100 dots per inch.

    Four parts: the map; the slots over time, with each slot's beam and the energy that it delivers to each
    user; each user's energy, in against out; and the division of each user's workload.

    The beam patterns are those of a half-wavelength array in free space. Under fading the received energy
    depends on the channels, so the energy that each user harvests is shown next to them.

    Args:
        parameters: the scenario's constants.
        frame: channels, workload and battery at the start.
        beams: (N, M) the AP's beams, of any norm; a zero beam means maximum ratio transmission.
        allocation: the users' times and work.
        outcome: the result of `run_frame`.
        positions: (N, 2) users' positions in m. If None, distances are deduced from the path gains and
            bearings from the array's response, which does not distinguish left from right.
        title: the first line of the header.

    Returns:
        A new figure, not registered with pyplot; see `save_figure` and `render_rgb_array`.
    """
    figure = style.new_figure(_WIDTH / 100, _HEIGHT / 100)
    # Imported here, since these need matplotlib, and `new_figure` reports if that is missing.
    from scattermec.pictures import _bars, _map, _timeline

    facts = frame_facts(parameters, frame, beams, allocation, outcome, positions)
    _write_header(figure, facts, title)
    _draw_key(figure)
    axes = {name: _axes(figure, name) for name in _BOXES}
    _map.draw_map(axes["map"], facts)
    _timeline.draw_beams(axes["beams"], facts)
    _timeline.draw_received(axes["received"], facts)
    _timeline.draw_timeline(axes["timeline"], facts)
    _bars.draw_energy(axes["energy"], facts)
    _bars.draw_work(axes["work"], facts)
    _write_headings(figure, facts)
    return figure


def _axes(figure: Figure, name: str) -> Axes:
    left, top, width, height = _BOXES[name]
    return figure.add_axes(
        (left / _WIDTH, 1 - (top + height) / _HEIGHT, width / _WIDTH, height / _HEIGHT), label=name
    )


def _write(figure: Figure, x: Number, y: Number, words: str, **looks: Any) -> Text:
    """Text at a pixel of the page, relative to its top left corner."""
    looks = {"fontsize": style.TEXT_SIZE, "color": style.INK, "va": "center", **looks}
    return figure.text(x / _WIDTH, 1 - y / _HEIGHT, words, **looks)


def _write_header(figure: Figure, facts: FrameFacts, title: str | None) -> None:
    antennas = facts.beams.shape[1]
    users = f"{facts.num_users} user{'s' if facts.num_users > 1 else ''}"
    standard = f"One frame: {users}, {antennas} antenna{'s' if antennas > 1 else ''}"
    _write(
        figure, 36, 32, title or standard, fontsize=style.TITLE_SIZE, fontweight="bold", gid="header/title"
    )
    served = int(facts.success.sum())
    lost = [str(user + 1) for user in range(facts.num_users) if not facts.success[user]]
    verdict = f"outage: user{'s' if len(lost) > 1 else ''} {', '.join(lost)}" if lost else "no outage"
    _write(
        figure,
        36,
        60,
        f"{served} of {facts.num_users} served, {verdict}",
        fontsize=style.HEADING_SIZE,
        color=style.OUTAGE if lost else style.QUIET,
        gid="header/served",
    )
    tiles = (
        ("energy", f"{style.compact(facts.ap_energy)} J", "AP and server energy $E_o$"),
        ("efficiency", f"{style.compact(facts.efficiency)} kbit/J", "energy efficiency"),
        ("reward", f"{style.compact(facts.reward)} kbit/J", "reward of the AP"),
    )
    for place, (name, number, words) in enumerate(tiles):
        x = 1172 - 190 * (len(tiles) - 1 - place)
        _write(
            figure,
            x,
            32,
            number,
            fontsize=style.TITLE_SIZE,
            fontweight="bold",
            ha="right",
            gid=f"header/{name}",
        )
        _write(figure, x, 58, words, color=style.QUIET, ha="right")


def _draw_key(figure: Figure) -> None:
    """The legend, one line with all colours of the page."""
    from matplotlib.patches import Patch

    crossed: dict[str, Any] = {"facecolor": "white", "hatch": style.OUTAGE_HATCH, "edgecolor": style.OUTAGE}
    lost: dict[str, Any] = {"facecolor": "white", "hatch": "////", "edgecolor": style.BATTERY}
    entries = [
        Patch(facecolor=style.ACTIVE, label="active offloading"),
        Patch(facecolor=style.CIRCUIT, label="circuit"),
        Patch(facecolor=style.PASSIVE, label="passive offloading (beam on)"),
        Patch(facecolor=style.LOCAL, label="local computing"),
        Patch(facecolor=style.HARVESTED, label="harvested"),
        Patch(facecolor=style.BATTERY, label="battery before"),
        Patch(facecolor=style.LEFT_OVER, label="battery after"),
        Patch(label="lost, battery full", **lost),
        Patch(label="outage", **crossed),
    ]
    figure.legend(
        handles=entries,
        loc="center left",
        bbox_to_anchor=(30 / _WIDTH, 1 - 98 / _HEIGHT),
        ncols=len(entries),
        frameon=False,
        fontsize=style.SMALL_SIZE,
        labelcolor=style.INK,
        handlelength=1.3,
        handleheight=0.9,
        handletextpad=0.5,
        columnspacing=1.5,
        borderaxespad=0,
        borderpad=0,
    )


def _write_headings(figure: Figure, facts: FrameFacts) -> None:
    from matplotlib.text import Annotation

    late = bool((facts.harvest[~facts.usable] > 0).any())
    income = "in (pale: too late to use)" if late else "in, slot by slot"
    headings = (
        (36, 132, "(a) Map", _MAP_NOTES[facts.placement]),
        (
            396,
            132,
            "(b) Time",
            "beam of each slot in free space (● its user), energy it brings, who does what",
        ),
        (36, 528, "(c) Energy of each user", f"above: {income}; below: out; dashed: capacity"),
        (626, 528, "(d) Workload of each user", "black mark: what there is to process"),
    )
    for x, y, words, more in headings:
        heading = _write(figure, x, y, words, fontsize=style.HEADING_SIZE, fontweight="bold")
        # Attached to the end of the heading, which depends on the font.
        beside = Annotation(
            more,
            (1, 0),
            xycoords=heading,
            xytext=(7, 0),
            textcoords="offset points",
            fontsize=style.SMALL_SIZE,
            color=style.QUIET,
            va="bottom",
            annotation_clip=False,
        )
        figure.add_artist(beside)
