"""Tables of a calibration's record: claims, conflicts, and constants beside published figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from scattermec.experiments.calibrate.search import NAMES
from scattermec.experiments.claims.optima import CLAIMS, MARKS
from scattermec.experiments.claims.withheld import PARTIAL_SERVICE, RANGES, Withheld, numbers_of
from scattermec.experiments.measure.statistics import CONFIDENCE
from scattermec.experiments.measure.table import Table
from scattermec.scenario import Scenario, unit_of
from scattermec.storage.texts import read_object

SHIPPED = Path(__file__).parent / "shipped.json"
"""The record of the calibration that found the scenario ``paper``."""

COMMAND = "scattermec calibrate"


def shipped() -> dict[str, Any]:
    """The record of the calibration that comes with the package."""
    return read_object(SHIPPED)


def tables(record: Mapping[str, Any], command: str = COMMAND) -> list[Table]:
    """All tables of a record; ``command`` is the command line that computes it again."""
    return [claims_table(record, command), conflicts_table(record, command), constants_table(record, command)]


def claims_table(record: Mapping[str, Any], command: str) -> Table:
    """Each claim in the scenario found, in the default one, and over the ranges."""
    effort = record["settings"]["effort"]
    columns = {
        f"{name}, {beams} beams": verdicts
        for name, judged in (("found", record["winner"]), ("default", record["base"]))
        for beams, verdicts in judged["verdicts"].items()
    }
    held = ("hold", *(str(list(verdicts.values()).count("holds")) for verdicts in columns.values()), "")
    return Table(
        title="The claims in the scenario found",
        note=f"Found by search, and verified on {effort['judged_frames']:,} frames per point that no search "
        f"has used. Last column: part of {record['samples']:,} scenarios, evenly sampled over the declared "
        "ranges of the constants that the paper does not give, in which the claim holds with MRT beams, and "
        f"its 95% Wilson interval ({effort['sample_frames']} frames per point).",
        columns=("claim", "the paper", *columns, "part of the range"),
        rows=(
            *(
                (
                    claim.name,
                    claim.statement,
                    *(f"{MARKS[own[claim.name]]} {own[claim.name]}" for own in columns.values()),
                    part_of_range(record, claim.name),
                )
                for claim in CLAIMS
            ),
            (f"all {len(CLAIMS)}", *held),
        ),
        command=command,
    )


def part_of_range(record: Mapping[str, Any], claim: str) -> str:
    """Share of the evenly sampled scenarios in which a claim holds, with its interval."""
    count, samples = record["shares"][claim], record["samples"]
    interval = binomtest(count, samples).proportion_ci(CONFIDENCE, method="wilson")
    return f"{100 * count / samples:.1f}% ({100 * interval.low:.1f} to {100 * interval.high:.1f}%)"


def conflicts_table(record: Mapping[str, Any], command: str) -> Table:
    """For each pair of claims the best joint margin; on the diagonal each claim's own."""
    joint, effort = record["joint"], record["settings"]["effort"]
    fewest = min(effort["sample_frames"], effort["frames"])
    rows = [
        (
            first,
            *(_margin(joint[first][second]) if i >= j else "" for j, second in enumerate(NAMES)),
            str(record["most_with"][first]),
        )
        for i, first in enumerate(NAMES)
    ]
    return Table(
        title="Which claims exclude which",
        note=f"The best margin with which both claims of a pair hold in any of {record['evaluated']:,} "
        "scenarios: the worse of the two, as a relative difference from what is asked. Negative (✗): no "
        "scenario was found in which both hold, although each such pair had a search of its own. Diagonal: "
        f"the claim alone. Last column: the most claims that held at once where this one held. At most "
        f"{record['most_at_once']} held at once during the search "
        f"({fewest} frames per point or more, MRT beams).",
        columns=("claim", *NAMES, "most at once with it"),
        rows=tuple(rows),
        command=command,
    )


def _margin(value: float) -> str:
    return f"{value:.2f}" if value > 0 else f"✗ {value:.2f}"


def constants_table(record: Mapping[str, Any], command: str) -> Table:
    """The constants of the scenario found, beside the range searched, the default and published figures."""
    scenario = Scenario.model_validate(record["winner"]["scenario"])
    found, default = numbers_of(scenario), numbers_of(Scenario())
    lowest = record["winner"]["scenario"]["initial_battery"][0]
    rows: list[Sequence[str]] = []
    for name, declared in RANGES.items():
        constant = name.partition(".")[0]
        published, compared = "", ""
        if isinstance(declared, Withheld):
            low, high = declared.published
            published = f"{low:g} to {high:g}: {declared.source}"
            compared = "within" if low <= found[name] <= high else _factor(found[name], low, high)
        rows.append(
            (
                f"`{name}`",
                "" if constant == "passive_receive_power" else unit_of(constant),
                f"{found[name]:.4g}",
                f"{default[name]:.4g}",
                f"{declared.low:g} to {declared.high:g}: {declared.reason}",
                published,
                compared,
            )
        )
    partial = [str(one.partial_service).lower() for one in (scenario, Scenario())]
    searched = "true or false: whether the best set of users is served where problem (10) has no solution"
    rows.append((f"`{PARTIAL_SERVICE}`", "", *partial, searched, "", ""))
    return Table(
        title="The constants of the scenario found, and those of real hardware",
        note="`passive_receive_power` is a share of `active_receive_power`; `initial_battery` is the upper "
        f"end of its range, whose lower end is {lowest:g} mJ in the scenario found. The "
        "last column compares with the published figures. The ends of the sweeps and the last row are "
        "readings of the paper's text, which does not give them.",
        columns=(
            "constant",
            "unit",
            "found",
            "default",
            "range searched",
            "published figures",
            "found there",
        ),
        rows=tuple(map(tuple, rows)),
        command=command,
    )


def _factor(value: float, low: float, high: float) -> str:
    return f"{low / value:.3g} times below" if value < low else f"{value / high:.3g} times above"
