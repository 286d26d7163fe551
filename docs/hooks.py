"""Additions of the site to its Markdown: formulas as MathML, and tables and pages made from the code."""

import html
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parent
ROOT = DOCS.parent / "src" / "scattermec"

PACKAGES = (
    "literature",
    "scenario",
    "physics",
    "optimisation",
    "environment",
    "agents",
    "learners",
    "training",
    "price_net",
    "online",
    "experiments",
    "pictures",
    "channels",
    "storage",
    "errors",
)
"""Packages of the API reference, each building on those before it; `cli` has the page of commands."""


def on_config(config: Any) -> Any:
    """Append the generated pages to the navigation, and unlisted pages to the results."""
    results = next(entry["Results"] for entry in config.nav if "Results" in entry)
    named = str(config.nav)
    results += sorted(page.name for page in DOCS.glob("*.md") if page.name not in named)
    pages: list[Any] = [{name: f"reference/{name}.md"} for name in _packages()]
    config.nav += [{"Commands": "commands.md"}, {"API reference": ["reference/index.md", *pages]}]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made from the code."""
    pages = {"commands.md": _commands_page(), "reference/index.md": _reference_index()}
    pages |= {f"reference/{name}.md": _reference_page(name) for name in _packages()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the tables that are named on their own line, as in ``{{ constants }}``."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: TABLES[match[1]](), markdown, flags=re.MULTILINE)


def on_page_content(text: str, **_: Any) -> str:
    """Turn LaTeX formulas, marked by the extension arithmatex, into MathML, which browsers render."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match["block"] else "inline"
        formula = convert(html.unescape(match["block"] or match["inline"]).strip(), display=display)
        # Bars of norms and absolute values do not stretch to the height of their contents.
        return re.sub(r"<mo>(&#x02016;|&#x0007C;|\|)</mo>", r'<mo stretchy="false">\1</mo>', formula)

    return re.sub(
        r'<div class="arithmatex">\\\[(?P<block>.*?)\\\]</div>'
        r'|<span class="arithmatex">\\\((?P<inline>.*?)\\\)</span>',
        mathml,
        text,
        flags=re.DOTALL,
    )


def constants_table() -> str:
    """All constants of a scenario, section by section, with units and defaults."""
    from scattermec.scenario import Rectifier, Scenario

    return (
        _settings_tables(Scenario, skip=("rectifier",))
        + "\n\n"
        + "\n".join(
            ["Of the sigmoidal `rectifier`:", "", *_settings_rows(Rectifier, list(Rectifier.model_fields))]
        )
    )


def training_table() -> str:
    """All settings of a training configuration, with the defaults, which are the preset `paper`."""
    from scattermec.agents.settings import TrainingConfig

    return _settings_tables(TrainingConfig)


def claims_table() -> str:
    """The paper's claims about its Fig. 3 and 4, and the part of the equations that decides each."""
    from scattermec.experiments.claims.optima import CLAIMS

    rows = [f"| {claim.name} | {claim.statement} | {claim.mechanism} |" for claim in CLAIMS]
    return "\n".join(["| claim | the paper | what decides it |", "|---|---|---|", *rows])


def limits_table() -> str:
    """The largest counts and scenario files allowed."""
    from scattermec import _yaml, counts

    rows = {
        "Text of a scenario or configuration, or of one `--set`": f"{_yaml.MOST_BYTES:,} characters",
        "Depth of lists and mappings within each other": _yaml.MOST_DEPTH,
        "Values in them, aliases included": _yaml.MOST_VALUES,
        "Users": counts.MOST_USERS,
        "Antennas": counts.MOST_ANTENNAS,
        "Frames of a rollout, an episode or a training": counts.MOST_FRAMES,
        "Steps of training price-net": counts.MOST_STEPS,
        "Seeds of a training": counts.MOST_SEEDS,
        "Largest seed": counts.MOST_SEED,
        "Processes": counts.MOST_PROCESSES,
        "Scenarios of `evaluate-unseen`": counts.MOST_SCENARIOS,
        "Episodes of `horizon`": counts.MOST_EPISODES,
        "Frames of an episode of `horizon`": counts.MOST_EPISODE_FRAMES,
        "Jobs of an array on Slurm": counts.MOST_JOBS,
        "Samples per frame of `knowledge`": counts.MOST_SAMPLES,
        "Hidden layers of an actor": counts.MOST_LAYERS,
        "Width of a layer": counts.MOST_WIDTH,
        "Transitions or frames per update": counts.MOST_BATCH,
        "Transitions in an agent's replay buffer": counts.MOST_TRANSITIONS,
        "Rounds of price-net": counts.MOST_ROUNDS,
    }
    lines = ["| what | at most |", "|---|---:|"]
    lines += [
        f"| {what} | {most if isinstance(most, str) else format(most, ',')} |" for what, most in rows.items()
    ]
    return "\n".join(lines)


def messages_table() -> str:
    """The kinds of messages between devices."""
    from scattermec.online.wire import KINDS

    lines = ["| number | kind | topic | fields after `run` and `frame` |", "|---:|---|---|---|"]
    for number, kind in enumerate(KINDS):
        fields = ", ".join(f"`{name}`" for name in list(kind.model_fields)[2:])
        meaning = (kind.__doc__ or "").rstrip(".")
        lines.append(f"| {number} | {kind.__name__}: {meaning} | `{kind.topic}` | {fields} |")
    return "\n".join(lines)


def causes_table() -> str:
    """Why devices refuse messages."""
    from scattermec.online.wire import CAUSES

    return "\n".join(
        ["| cause | the message is |", "|---|---|", *(f"| {c} | {why} |" for c, why in CAUSES.items())]
    )


TABLES = {
    "messages": messages_table,
    "causes": causes_table,
    "constants": constants_table,
    "training": training_table,
    "claims": claims_table,
    "limits": limits_table,
}


def _settings_tables(settings: Any, skip: tuple[str, ...] = ()) -> str:
    parts: dict[str, list[str]] = {}
    section = ""
    for name in settings.model_fields:
        section = settings._sections.get(name, section)
        if name not in skip:
            parts.setdefault(section, []).append(name)
    tables = (["", f"### {title}", "", *_settings_rows(settings, names)] for title, names in parts.items())
    return "\n".join(line for table in tables for line in table)


def _settings_rows(settings: Any, names: list[str]) -> Iterator[str]:
    from scattermec._settings import notes_of
    from scattermec._yaml import show

    yield from ("| name | symbol | default | unit | meaning |", "|---|---|---|---|---|")
    for name in names:
        field = settings.model_fields[name]
        notes = notes_of(field)
        meaning = (
            field.description.split(":")[0]
            if field.description.endswith(notes["rule"])
            else field.description
        )
        symbol = _formula(notes["symbol"])
        default = show(field.default)
        yield f"| `{name}` | {symbol} | `{default}` | {notes['unit']} | {meaning} ({notes['rule']}) |"


def _formula(symbol: str) -> str:
    """A symbol as the code writes it, such as phi_c or p_a,r, as a formula."""
    if not symbol:
        return ""
    greek = "alpha|sigma|eta|Gamma|phi|lambda|mu|gamma|epsilon"
    letter, _, index = symbol.partition("_")
    letter = re.sub(rf"^({greek})", r"\\\1", letter).replace("2", "^2").replace("phi", "varphi")
    index = index if len(index) == 1 or "," in index else rf"\text{{{index}}}"
    return f"${letter}_{{{index}}}$" if _ else f"${letter}$"


def _packages() -> list[str]:
    """Packages with a page in the API reference: those of `PACKAGES` that exist, in order, then others."""
    found = {
        path.stem
        for path in ROOT.iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    return [name for name in PACKAGES if name in found] + sorted(found - set(PACKAGES) - {"cli"})


def _modules(name: str) -> list[str]:
    """The public modules of a package, or of the module itself."""
    if not (ROOT / name).is_dir():
        return [f"scattermec.{name}"]
    paths = sorted(path for path in (ROOT / name).rglob("*.py") if not path.stem.startswith("_"))
    return [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in paths]


def _summary(name: str) -> str:
    """First line of a module's docstring."""
    path = ROOT / name / "__init__.py" if (ROOT / name).is_dir() else ROOT / f"{name}.py"
    match = re.match(r'"""(.*?)(?:\n\n|""")', path.read_text(), re.DOTALL)
    return " ".join(match[1].split()) if match else ""


def _reference_index() -> str:
    rows = [f"| [{name}]({name}.md) | {_summary(name)} |" for name in _packages()]
    lines = [
        "# API reference",
        "",
        "One page per package; each package builds on those above it. Import what a package exports from the",
        "package itself: `from scattermec.physics import run_frame`. Arrays are described by their shape: N",
        "users, M antennas, and `[j, i]` for user j and slot i. Everything is for one frame unless it says",
        "otherwise; batch it with `jax.vmap`.",
        "",
        "| package | what it holds |",
        "|---|---|",
    ]
    return "\n".join([*lines, *rows])


def _reference_page(name: str) -> str:
    lines = [f"# {name}", ""]
    if (ROOT / name).is_dir():
        lines += [f"::: scattermec.{name}", "    options: {members: false, show_root_heading: false}", ""]
    for module in _modules(name):
        lines += [f"::: {module}", ""]
    return "\n".join(lines)


def _commands_page() -> str:
    """Every command with its arguments and options, as `--help` prints them."""
    from scattermec.cli.app import COMMANDS, Command, function_of

    lines = ["# Commands", "", "As `scattermec COMMAND --help` prints them.", ""]
    for name in COMMANDS:
        function = function_of(name)
        lines += [f"## scattermec {name}", "", inspect.getdoc(function) or "", ""]
        lines += ["| option | meaning |", "|---|---|"]
        hints = get_type_hints(function, include_extras=True)
        spelt = {option.name: option.opts[0] for option in Command(name).imported.params}
        for parameter in inspect.signature(function).parameters.values():
            if not hasattr(hints[parameter.name], "__metadata__"):  # not an option, but Typer's context
                continue
            kind, told = get_args(hints[parameter.name])[:2]
            lines.append(f"| {_spelling(spelt[parameter.name], kind, told)} | {_meaning(parameter, told)} |")
        lines.append("")
    return "\n".join(lines)


def _spelling(name: str, kind: Any, told: Any) -> str:
    """How to type an argument or option, with its value."""
    if not name.startswith("-"):
        return f"`{told.metavar or name.upper()}`"
    choices = next((c for c in (kind, *get_args(kind)) if isinstance(c, type) and issubclass(c, Enum)), None)
    takes = told.metavar or (" or ".join(choice.value for choice in choices) if choices else "")
    return f"`{name}` {takes}".rstrip()


def _meaning(parameter: inspect.Parameter, told: Any) -> str:
    default = parameter.default
    words = html.escape(" ".join((told.help or "").split())).replace("|", "\\|")
    unsaid = any(default is nothing for nothing in (parameter.empty, None, False)) or "[default:" in words
    return words if unsaid else f"{words} [default: {getattr(default, 'value', default)}]"
