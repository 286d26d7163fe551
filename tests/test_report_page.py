"""The report's page, opened in a real browser: nothing is fetched or fails, all is drawn, all can be read."""

import dataclasses
import html
import re
import shlex
import shutil
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from typer.testing import CliRunner

from scattermec.agents.settings import PRESETS
from scattermec.cli.app import app
from scattermec.errors import InputError
from scattermec.experiments.claims.learning import LEARNERS as PAPERS
from scattermec.experiments.claims.learning import LearningCurves
from scattermec.experiments.claims.optima import Finding
from scattermec.experiments.measure.sweeps import SWEEPS, Measurement, metrics_of
from scattermec.experiments.measure.table import Table
from scattermec.experiments.report import commands, markdown, page, panels
from scattermec.experiments.report.abstract import answer, counts, sentences
from scattermec.experiments.report.contents import Contents
from scattermec.experiments.report.panels import GREEDY, OPTIMUM, TRAINING
from scattermec.experiments.report.redraw import redraw
from scattermec.experiments.studies import frame
from scattermec.experiments.studies.figure_2 import GREEDY_MODE
from scattermec.experiments.studies.plan import Plan
from scattermec.experiments.studies.ranges import Ranges
from scattermec.experiments.studies.record import Record
from scattermec.experiments.studies.results import Results
from scattermec.optimisation import allocate_frames
from scattermec.physics import Frame, parameters_of
from scattermec.pictures import style
from scattermec.scenario import NAMED, Scenario

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
in_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser is installed: none of {', '.join(BROWSERS)} is on the path"
)

pytestmark = pytest.mark.usefixtures("quick_figures")

SCENARIO = Scenario(local_rate=100.0)
"""In which the first frame can be served by every policy."""
FIGURES = ("2a", "2b", "3a", "3b", "4a", "4b", "beams")
KINDS = ("mrt", "random", "optimal", "ap-ddpg")
TABLE = Table(
    "A table of another part",
    "Made by `something`, with x < 1.",
    tuple(f"column {index}" for index in range(9)),
    (tuple(f"a long cell number {index}" for index in range(9)),),
    "scattermec scenario",
)


def made_up_measurements() -> list[Measurement]:
    """Every metric of every point, of the right names and kinds and with plausible sizes."""
    rng = np.random.default_rng(0)
    rows = []
    for sweep in SWEEPS.values():
        for value in sweep.values(Scenario(), quick=True):
            for kind in KINDS:
                for scheme in sweep.schemes:
                    for metric in metrics_of(sweep, scheme):
                        mean = float(rng.uniform(0.2, 0.9))
                        point = (sweep.name, value, scheme, kind, metric, "", mean, 0.9 * mean, 1.1 * mean)
                        rows.append(Measurement(*point, 64, 0))
    return rows


def made_up_curves() -> list[LearningCurves]:
    frames = 250 * np.arange(1, 9)
    curves = []
    for preset in ("paper", "tuned"):
        for learner, mode in list(GREEDY_MODE.items())[:2]:
            level = np.linspace(0.1, 0.8, 8) + 0.01 * np.random.default_rng(1).normal(size=(4, 8))
            values = {"reward": 300 * level, f"reward.{mode}": 350 * level}
            values |= {"outage": 1 - level, f"outage.{mode}": 0.9 - level}
            curves.append(LearningCurves(learner, preset, frames, values, optimum=400.0))
    return curves


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contents]:
    """A folder with everything in it: numbers made up, the frame solved, the runs' curves put in."""
    folder = tmp_path_factory.mktemp("page") / "results & more"
    results = Results.open(folder, Plan(SCENARIO, frames=64, quick=True).settings())
    results.add(made_up_measurements())
    record = Record.open(folder)
    record.add_command("scattermec reproduce --out <here>")
    with record.part("frame under each policy"):
        frame.keep_frame(SCENARIO, 0, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scattermec.experiments.report.contents.read_curves", lambda folder: made_up_curves())
        patch.setattr(Ranges, "tables", lambda folder: [TABLE])
        patch.setattr(style, "FORMATS", ("svg",))  # the only one that the page holds
        yield redraw(folder).contents


@pytest.fixture(scope="module")
def text(contents: Contents) -> str:
    return (contents.folder / page.NAME).read_text(encoding="utf-8")


# What the page says


def test_abstract_has_five_sentences_of_what_was_measured(contents):
    what, optima, learning, beams, sure = sentences(contents)
    assert "18 claims" in what
    assert "(64 independent frames per point) and Fig. 2 on training runs of 4 seeds and 2,000 frames" in what
    for label in ("MRT beams", "optimal beams", "learned beams (ap-ddpg)"):
        assert f"with {label}, of 14 claims " in optima
    rewards = made_up_curves()[0].final("reward")
    assert f"the final reward being {rewards.mean:.3g} (" in learning
    row = next(
        r
        for r in contents.measurements
        if (r.swept, r.value, r.scheme, r.beams, r.metric)
        == ("distance", 1.0, "hybrid", "optimal", "energy_efficiency")
    )
    assert beams.startswith(f"At the scenario's own distances the energy efficiency is {row.mean:.3g} (")
    assert re.search(r"exceed certified lower bounds by [1-9]0% at most", sure)


def test_frames_are_those_of_each_kind_of_beams(contents):
    rows = [
        dataclasses.replace(row, frames=256) if row.beams == "ap-ddpg" else row
        for row in contents.measurements
        if row.beams in ("mrt", "ap-ddpg")
    ]
    changed = dataclasses.replace(contents, measurements=rows)
    expected = "ndependent frames per point: 64 with MRT beams, 256 with learned beams (ap-ddpg)"
    texts = [
        sentences(changed)[0],
        markdown.claims_markdown(changed.findings, changed.settings, rows),
        markdown.index_markdown(changed),
        *(figure.notes[-1] for figure in page.figures(changed) if figure.name in ("3a", "beams")),
    ]
    assert len(texts) == 5
    for text in texts:
        assert expected in text


def test_abstract_says_what_is_missing(contents):
    nothing = dataclasses.replace(contents, measurements=[], curves=[], findings=[])
    _, *rest = sentences(nothing)
    assert [sentence.partition(" is not")[0].partition(" are not")[0] for sentence in rest[:3]] == [
        "Fig. 3 and 4",
        "Fig. 2",
        "What beams are worth",
    ]
    assert len(rest) == 4


def test_answer_counts_the_best_beams_and_the_best_preset(contents):
    empty = {"findings": [], "curves": [], "pictures": [], "frames": []}
    nothing = dataclasses.replace(contents, folder=contents.folder / "none", named={}, **empty)
    assert answer(nothing) == "No claim is examined here."
    # Without the figures at a glance the page does without them.
    assert 'class="overview"' not in page.render(nothing)
    named = {"paper": {"mrt": {"3a-1": "holds", "3a-2": "not examined"}, "tuned": {"2a-1": "holds"}}}
    told = answer(dataclasses.replace(contents, named=named))
    kinds: dict[str, list[str]] = {}
    for finding in contents.findings:
        kinds.setdefault(finding.preset or finding.beams, []).append(finding.verdict)
    learned = max(v.count("holds") for kind, v in kinds.items() if kind in PRESETS)
    exact = max(v.count("holds") for kind, v in kinds.items() if kind not in PRESETS)
    assert told.startswith(
        f"In the scenario reproduced here, {learned + exact} of the paper's 18 claims hold; "
    )
    assert told.endswith("in the scenario found for it, 2 of 2.")


def test_counts_are_told_in_words():
    def findings(*verdicts):
        return [Finding("1a-1", "1a", "It holds.", verdict, "", "") for verdict in verdicts]

    assert counts(findings("holds")) == "1 holds"
    told = counts(findings("holds", "holds", "holds in part", "does not hold", "not examined"))
    assert told == "2 hold, 1 holds in part, 1 does not hold and 1 is not examined"


def test_page_is_whole_without_a_browser(contents, text):
    body = text.partition("<script")[0]
    for finding in contents.findings:
        assert html.escape(finding.statement, quote=False) in body.replace("&#39;", "'")
    for command in ("scattermec solve", "scattermec reproduce --out again --figures 3a,learned --quick"):
        assert command in body
    assert "scattermec train h-maddpg-opt --config paper --seeds 4 --frames 2000" in body
    assert html.escape(f"--scenario '{contents.folder}/scenario.yaml'").replace("&#x27;", "&#39;") in body
    assert "scattermec reproduce --out &lt;here&gt;" in body
    assert "Made by <code>something</code>, with x &lt; 1." in body
    # All at a glance, and one for each kind of beams of Fig. 3 and 4, two of learning, one of beams, three of
    # the frame.
    assert len(re.findall(r'src="data:image/svg\+xml;base64,', body)) == 1 + 4 * 3 + 2 + 1 + 3
    for name, field in Scenario.model_fields.items():
        assert f"<code>{name}</code>" in body
        assert html.escape(str(field.description)).replace("&#x27;", "&#39;") in body


def test_nothing_in_the_page_is_elsewhere(text):
    own = text.partition("<script>")[0]
    for address in re.findall(r'(?:src|href)="([^"]*)"', own):
        assert address.startswith(("data:", "#"))
    assert "default-src 'none'" in own


def test_panels_above_one_another_share_their_ordinate(contents):
    (figure,) = (one for one in page.figures(contents) if one.name == "4b")
    assert [row.title for row in figure.rows] == ["MRT beams", "Optimal beams", "Learned beams (ap-ddpg)"]
    drawn = page.drawing(figure)
    for column in zip(*drawn, strict=True):
        assert len({tuple(panel["layout"]["yaxis"]["range"]) for panel in column}) == 1
        ((low, high),) = {tuple(panel["layout"]["yaxis"]["range"]) for panel in column}
        shown = [y for panel in column for trace in panel["data"] for y in trace["y"]]
        assert low < 0 <= min(shown) <= max(shown) < high


def test_hover_and_numbers_are_those_of_the_data(contents):
    (figure,) = (one for one in page.figures(contents) if one.name == "3a")
    (row,) = (
        r
        for r in contents.measurements
        if (r.swept, r.value, r.beams, r.metric) == ("ap_power", 4.0, "mrt", "active_share")
    )
    told = f"{100 * row.mean:.3g} ({100 * row.low:.3g} to {100 * row.high:.3g})"
    (trace,) = (t for t in page.drawing(figure)[0][0]["data"] if t.get("name") == "Active")
    assert (trace["x"][-1], trace["text"][-1]) == (4.0, f"{told} %")
    assert trace["y"][-1] == pytest.approx(100 * row.mean, rel=1e-5)
    shares, _ = page.numbers(figure.rows[0])
    assert shares.rows[-1][:2] == ("4", told)


def test_optimum_and_greedy_curves_are_in_figure_2a(contents):
    (figure,) = (one for one in page.figures(contents) if one.name == "2a")
    labels = [entry.label for entry in page.legend(figure)]
    assert labels == [*(panels.LEARNERS[name].label for name in PAPERS), TRAINING, GREEDY, OPTIMUM]
    for panel in page.drawing(figure)[0]:
        (level,) = (trace for trace in panel["data"] if trace["meta"] == [OPTIMUM])
        assert level["y"] == [400.0, 400.0]
        assert level["line"]["dash"] == "dot"
        dashed = [trace for trace in panel["data"] if trace["line"].get("dash") == "dash"]
        assert len(dashed) == 2
        assert all(GREEDY in trace["meta"] for trace in dashed)


# The frame under each policy


def test_frame_is_the_same_for_each_policy_and_solved_exactly(contents):
    assert [played.policy for played in contents.frames] == ["mrt", "random", "optimal"]
    first = contents.frames[0].frame
    for played in contents.frames:
        for name in ("channels", "workload", "battery"):
            np.testing.assert_array_equal(getattr(played.frame, name), getattr(first, name))
        assert np.asarray(played.outcome.success).all()
        energy = float(played.outcome.ap_energy)
        assert energy == pytest.approx(played.lower_bound, rel=1e-5)
        file = np.load(frame.path(contents.folder, played.policy))
        frames = Frame(**{name: jnp.asarray(file[name]) for name in ("channels", "workload", "battery")})
        again = allocate_frames(parameters_of(SCENARIO), frames, jnp.asarray(file["beams"]))
        assert energy == pytest.approx(float(again.energy[0]), rel=1e-6)
    energies = [float(played.outcome.ap_energy) for played in contents.frames]
    assert energies[2] <= min(energies[:2]) * (1 + 1e-6)


def test_solve_reads_the_kept_frame(contents, tmp_path):
    words = shlex.split(frame.command("random", contents.folder, Scenario()))
    assert words[:2] == ["scattermec", "solve"]
    words[words.index("--out") + 1] = str(tmp_path / "again.npz")
    result = CliRunner().invoke(app, [*words[1:], "--set", "local_rate=100"])
    assert result.exit_code == 0, result.output
    energy = float(np.load(tmp_path / "again.npz")["energy"][0])
    assert energy == pytest.approx(float(contents.frames[1].outcome.ap_energy), rel=1e-6)


def test_a_damaged_frame_is_refused(contents, tmp_path):
    for policy in frame.TITLES:
        frame.path(tmp_path, policy).write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"frame-mrt\.npz: is not an \.npz file"):
        frame.read_frames(tmp_path, SCENARIO)


def test_commands_name_a_scenario_or_its_file(contents):
    settings, folder = contents.settings, contents.folder
    for name in NAMED:
        assert commands.figure_command(["3a"], settings, Scenario.named(name), folder) == (
            "scattermec reproduce --out again --figures 3a --quick --frames 64 --seed 0 --beams mrt,optimal "
            f"--scenario {name}"
        )
    words = shlex.split(commands.figure_command(["3a"], settings, SCENARIO, folder))
    assert words[-2:] == ["--scenario", str(folder / "scenario.yaml")]


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser: Browser, contents: Contents) -> tuple[Page, list[str]]:
    """The page, drawn, and whatever goes wrong in it."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    faults: list[str] = []
    tab.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("requestfailed", lambda failed: faults.append(f"failed: {failed.url[:80]}"))
    tab.on(
        "request",
        lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or faults.append(asked.url[:80]),
    )
    tab.goto((contents.folder / page.NAME).as_uri())
    tab.wait_for_selector("html[data-drawn=all]", state="attached")
    return tab, faults


@pytest.fixture
def opened(tab: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page at the width of a desk; a test fails with whatever went wrong so far."""
    opened, faults = tab
    opened.set_viewport_size({"width": 1200, "height": 900})
    yield opened
    assert faults == []


@in_browser
def test_every_figure_is_drawn(opened, contents):
    for name in FIGURES:
        plots = opened.locator(f"#fig{name} .plot")
        (figure,) = (one for one in page.figures(contents) if one.name == name)
        assert plots.count() == sum(len(row.panels) for row in figure.rows)
        for index in range(plots.count()):
            lines = plots.nth(index).locator("svg .scatterlayer path.js-line")
            assert lines.count() >= 2
            assert all(
                len(path) > 10 for path in lines.evaluate_all("all => all.map(p => p.getAttribute('d'))")
            )
        assert opened.locator(f"#fig{name} .static").first.is_hidden()


@in_browser
def test_pictures_of_the_frame_are_seen(opened):
    sizes = opened.locator("#frame img").evaluate_all("all => all.map(i => [i.naturalWidth, i.clientWidth])")
    assert len(sizes) == 3
    assert all(natural > 0 and shown > 600 for natural, shown in sizes)


@in_browser
def test_legend_hides_and_shows_lines(opened):
    def lines():
        return opened.locator("#fig2a .plot").first.locator("path.js-line").count()

    everything = lines()
    button = opened.locator("#fig2a .legend button", has_text="Model-free")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    # Its line while learning, its greedy line, and the bands of both.
    assert lines() == everything - 4
    opened.locator("#fig2a .legend button", has_text="Greedy").click()
    assert lines() == everything - 6
    button.click()
    assert lines() == everything - 4
    opened.locator("#fig2a .legend button", has_text="Greedy").click()
    assert lines() == everything


@in_browser
def test_hover_shows_values_with_intervals(opened):
    plot = opened.locator("#fig3a .plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    opened.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    shown = plot.locator(".hoverlayer .legendtext, .hoverlayer .hovertext")
    shown.first.wait_for()
    told = " ".join(shown.all_text_contents())
    assert re.search(r"Active: [\d.]+ \([\d.]+ to [\d.]+\) %", told)
    assert "Users in outage: " in told


@in_browser
def test_page_can_be_read_on_a_phone(opened):
    opened.set_viewport_size({"width": 400, "height": 900})
    opened.wait_for_function(  # redrawn for the new width
        "() => [...document.querySelectorAll('.plot .main-svg')].every((e) => e.clientWidth <= 400)"
    )
    assert opened.evaluate("document.documentElement.scrollWidth") == 400
    # Nothing reaches beyond the edge but what scrolls in a box of its own.
    beyond = opened.evaluate(
        """[...document.querySelectorAll('main *')].filter(
            (e) => e.getBoundingClientRect().right > 401 && !e.closest('.scroll') && !e.closest('svg')
        ).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert beyond == []
    cells = opened.locator(".claims > tbody > tr > td")
    widths = cells.evaluate_all("all => all.map(cell => cell.getBoundingClientRect().width)")
    assert min(widths) > 300
    sizes = cells.evaluate_all("all => all.map(p => getComputedStyle(p).fontSize)")
    assert min(float(size.removesuffix("px")) for size in sizes) >= 14
    # The first of the figures is on the first screen.
    assert opened.locator(".overview").bounding_box()["y"] < 500
    assert opened.locator("#tables .scroll").last.evaluate("box => box.scrollWidth > box.clientWidth")


@in_browser
def test_on_paper_pictures_replace_what_moves(opened):
    opened.emulate_media(media="print")
    assert opened.locator("#fig3a .static").first.is_visible()
    assert opened.locator("#fig3a .plot").first.is_hidden()
    assert opened.locator("nav").is_hidden()
    assert opened.locator("#claims details table").first.is_visible()
    assert opened.pdf(format="A4").startswith(b"%PDF")
    opened.emulate_media(media="screen")


@in_browser
def test_page_can_be_read_without_scripts(browser, contents):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((contents.folder / page.NAME).as_uri())
    assert tab.locator("#fig2a .static").is_visible()
    assert tab.locator("#fig2a .legend").is_hidden()
    assert tab.locator("#claims table").first.is_visible()
    context.close()
