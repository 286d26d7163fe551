"""What a reproduction says in words: the verdicts as Markdown and JSON, and the index of its folder."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scattermec.experiments.claims import Condition, Finding
from scattermec.experiments.figures import CAPTIONS, TITLES
from scattermec.experiments.results import DATA, MANIFEST
from scattermec.experiments.sweeps import METRICS, RELATIVE_METRICS
from scattermec.pictures.style import FORMATS
from scattermec.scenario import Scenario
from scattermec.storage import replace_text

PAPER = (
    "Zhou, Long, Zhang, Xu, Gong: Hierarchical multi-agent deep reinforcement learning for backscatter-aided "
    "data offloading, IEEE WCNC 2022"
)
MARKS = {"met": "yes", "unclear": "partly", "not met": "no"}
LIBRARIES = ("jax", "jaxlib", "numpy", "matplotlib")


def write(
    folder: Path,
    scenario: Scenario,
    settings: Mapping[str, Any],
    findings: Sequence[Finding],
    drawn: Sequence[str],
    command: str,
) -> tuple[Path, ...]:
    """Write claims.md, claims.json, scenario.yaml and index.md; the paths written."""
    texts = {
        "claims.md": claims_markdown(findings, settings),
        "claims.json": claims_json(findings, settings),
        "scenario.yaml": scenario.to_yaml(),
        "index.md": index_markdown(findings, settings, drawn, command),
    }
    for name, text in texts.items():
        replace_text(folder / name, text)
    return tuple(folder / name for name in texts)


def claims_json(findings: Sequence[Finding], settings: Mapping[str, Any]) -> str:
    """All findings for machines."""
    kept = {name: settings[name] for name in ("version", "regime", "frames", "seed", "beams")}
    claims = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps({**kept, "claims": claims}, indent=2, ensure_ascii=False) + "\n"


def claims_markdown(findings: Sequence[Finding], settings: Mapping[str, Any]) -> str:
    """All findings for readers: a table of verdicts, then the conditions behind each."""
    parts = [
        "# The paper's claims and what was measured",
        f"Exact optima for {settings['beams']} beams; {settings['frames']} frames a point, seed "
        f"{settings['seed']}. Regime: {settings['regime']}.",
        "The conditions and their thresholds are fixed in the code. A condition is met (yes) if its 95% "
        "interval wholly meets it, partly if only the estimate or the change from end to end does. All met: "
        "the claim holds; none of the essential ones: it does not hold; else it holds in part.",
        verdict_table(findings),
    ]
    parts += [_section(finding) for finding in findings if finding.conditions]
    return "\n\n".join(parts) + "\n"


def verdict_table(findings: Sequence[Finding]) -> str:
    """One line a claim."""
    lines = ["| claim | the paper | verdict | why |", "|---|---|---|---|"]
    lines += [f"| {f.name} | {f.statement} | **{f.verdict}** | {f.why} |" for f in findings]
    return "\n".join(lines)


def _section(finding: Finding) -> str:
    lines = [
        f"## {finding.name}: {finding.statement}",
        "",
        f"**{finding.verdict.capitalize()}.** {finding.why}",
        "",
        "| condition | met | measured |",
        "|---|---|---|",
        *(_condition(condition) for condition in finding.conditions),
        "",
        f"What decides it: {finding.mechanism}",
    ]
    return "\n".join(lines)


def _condition(condition: Condition) -> str:
    beside = "" if condition.essential else " (not essential)"
    return f"| {condition.statement}{beside} | {MARKS[condition.judgement]} | {condition.measured} |"


def index_markdown(
    findings: Sequence[Finding], settings: Mapping[str, Any], drawn: Sequence[str], command: str
) -> str:
    """The page to open first."""
    formats = " ".join(f"[{kind}](fig{{0}}.{kind})" for kind in FORMATS)
    figures = [
        f"### Fig. {name}: {TITLES[name].lower()}\n\n![Fig. {name}](fig{name}.png)\n\n"
        f"The paper: {CAPTIONS[name]} Files: {formats.format(name)}"
        for name in drawn
    ]
    metrics = [f"| `{n}` | {m.unit} | {m.meaning} |" for n, m in (METRICS | RELATIVE_METRICS).items()]
    parts = [
        "# Reproduction of Fig. 3 and 4",
        f"{PAPER}. Drawn from exactly optimised allocations for {settings['beams']} beams.",
        f"Regime: {settings['regime']}. {settings['frames']} frames a point, seed {settings['seed']}; every "
        "point and scheme meets the same fading and batteries.",
        "## Claims\n\n" + verdict_table(findings),
        "The conditions and numbers behind each verdict: [claims.md](claims.md), for machines "
        "[claims.json](claims.json).",
        "## Figures",
        *figures,
        f"## Data\n\n[{DATA}]({DATA}): one row for each number, with its 95% bootstrap interval over frames.",
        "\n".join(["| metric | unit | meaning |", "|---|---|---|", *metrics]),
        "## How to get this again",
        f"```\n{command}\n```",
        f"Scenario: [scenario.yaml](scenario.yaml). All settings: [{MANIFEST}]({MANIFEST}). Versions: "
        f"scattermec {settings['version']}, {_versions()}.",
    ]
    return "\n\n".join(parts) + "\n"


def _versions() -> str:
    libraries = (f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return f"Python {platform.python_version()}, {', '.join(libraries)}"
