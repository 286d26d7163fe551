"""Frames: NumPy executes the answers and recomputes the bounds; verdicts are sampled against Clarabel."""

import shlex
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reference_allocation import OPTIMAL as CONIC_OPTIMAL
from reference_allocation import ReferenceSolver, data_of
from reference_beams import ReferenceBeams
from scattermec.errors import InputError
from scattermec.optimisation import (
    SCHEMES,
    BatteryValue,
    allocate_frames,
    optimise_beams_frames,
    optimise_service_frames,
)
from scattermec.physics import Frame, Parameters, parameters_of
from scattermec.scenario import Scenario
from torture import reference
from torture.reference import Answer, Constants, Frames
from torture.results import Outcome, Row
from torture.scenarios import ALL, CASES, Case

OPTIMAL, INFEASIBLE, UNDECIDED, FEASIBLE = 0, 1, 2, 3
"""Values of a solution's status; the last is feasible with a bound that is not met."""

P1_GAP, P2_GAP = 1e-6, 1e-4
"""Largest gap of an answer called optimal, relative to its energy."""

ENERGY_FLOOR = 1e-3
"""J: gaps of cheaper frames are relative to this."""

BOUND_TOLERANCE = 1e-8
"""Largest difference between a published bound and the one from its prices, relative to the energy."""

ROUNDING = 8 * np.finfo(float).eps
"""The same, relative to the priced work: the bound is the difference of terms of this size, as the prices of
work can exceed the energy by nine decades."""

PROOF_TOLERANCE = 1e-12
"""Least relative excess of work, by its prices, that proves that the work cannot be done."""

CONIC_MARGIN = 1e-6
"""A verdict of infeasibility is wrong if a conic solver can do this much more than the work, relatively."""

ALLOWED_UNDECIDED = 1e-5
"""Share of the frames within range that may be undecided, or feasible with a bound that is not met (P1)."""

ALLOWED_UNMET = {False: 1e-3, True: 5e-3}
"""Share of P2's frames within range whose bound may be unmet, without and with valued batteries: one beam per
slot need not attain it, least of all where more users than antennas are to be charged."""

FRAMES = 1_000_000
BATCH = 1024
"""Frames of P1 per call"""
ALONE = 4
"""Frames per batch that are solved again individually"""
CONIC_SAMPLE = 2
"""Verdicts of infeasibility per batch that are compared with a conic solver's"""
SAVED = 3
"""Bad frames saved per kind and scenario"""

NEVER = {
    "P1: constraints off by more than 1e-6": "p1 constraints",
    "P1: energy is not that of the schedule": "p1 energy",
    "P1: optimal with a gap above 1e-6": "p1 gap",
    "P1: published bound is not that of the prices": "p1 bound",
    "P1: infeasible without proof, or against Clarabel": "p1 infeasible",
    "P1: a restricted scheme is cheaper, or feasible alone": "p1 restriction",
    "P1: another answer among other frames, or alone": "p1 neighbours",
    "P1: less reward with the best set than with all": "p1 best",
    "P2: constraints off by more than 1e-6": "p2 constraints",
    "P2: energy is not that of the schedule": "p2 energy",
    "P2: optimal with a gap above 1e-4": "p2 gap",
    "P2: published bound is not that of the prices": "p2 bound",
    "P2: infeasible without proof, or against Clarabel": "p2 infeasible",
    "P2: dearer than P1 with beams along the channels": "p2 dearer",
    "P2: a restricted scheme is cheaper, or feasible alone": "p2 restriction",
    "P2: another answer among other frames, or alone": "p2 neighbours",
    "P2: less reward with the best set than with all": "p2 best",
    "P2: more reward than its bound": "p2 reward bound",
    "any: refused or failed within range": "failed",
}
"""Events that must never occur in any scenario, with their short names."""


@dataclass
class Options:
    """How much to try, and where to save bad frames."""

    seed: int = 0
    frames: int = FRAMES
    seconds: float = 480.0
    batch: int = BATCH
    cases: tuple[str, ...] = ()
    """names of scenarios; all if empty"""
    rounds: int | None = None
    first_round: int = 0
    out: Path | None = None
    tell: Callable[[str], None] = lambda text: None


@dataclass
class _Setting:
    """One batch: a scenario as the package and as the judge represent it."""

    case: Case
    scenario: Scenario
    ours: Parameters
    theirs: Constants
    frames: Frames
    round: int
    battery_value: BatteryValue | None = None


@dataclass
class Campaign:
    """Running counts of a campaign."""

    options: Options
    tried: Counter = field(default_factory=Counter)
    bad: Counter = field(default_factory=Counter)
    statuses: dict[tuple[str, str], Counter] = field(default_factory=lambda: defaultdict(Counter))
    """for each problem and scenario"""
    failures: dict[str, str] = field(default_factory=dict)
    """errors raised, once per message"""
    bad_by_case: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    saved: list[str] = field(default_factory=list)
    frames: int = 0
    """solved so far"""

    def count(
        self,
        name: str,
        setting: _Setting,
        bad: np.ndarray,
        *,
        command: Sequence[str] = (),
        beams: np.ndarray | None = None,
        remark: Callable[[int], str] | None = None,
    ) -> None:
        """Count one check of frames, one bool each; save the first bad ones with a command that solves them.

        ``beams`` are saved with these frames.
        """
        self.tried[name] += len(bad)
        which = np.flatnonzero(bad)
        self.bad[name] += len(which)
        counts = self.bad_by_case[setting.case.name]
        for index in which[: max(0, SAVED - counts[name])]:
            text = remark(int(index)) if remark is not None else ""
            self._save(name, setting, int(index), command, beams, text)
        counts[name] += len(which)

    def _save(
        self,
        name: str,
        setting: _Setting,
        index: int,
        command: Sequence[str],
        beams: np.ndarray | None,
        remark: str,
    ) -> None:
        folder = self.options.out
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        words = f"{name} {setting.case.name}".replace(",", "").replace(".", "").split()
        stem = "-".join(words) + f"-{setting.round}-{index}"
        one = setting.frames.take(np.array([index]))
        arrays = {"channels": one.channels, "workload": one.workload, "battery": one.battery}
        arrays["beams"] = reference.unit_beams(
            one.beams if beams is None else beams[index : index + 1], one.channels
        )
        np.savez(folder / f"{stem}.npz", **arrays)  # type: ignore[arg-type]
        setting.scenario.save(folder / f"{stem}.yaml")
        self.saved.append(str(folder / f"{stem}.npz"))
        solve = ["scattermec", "solve", f"{stem}.npz", "--scenario", f"{stem}.yaml"]
        solve += ["--out", "/dev/shm/solution.npz", *command]
        again = ["python", "-m", "torture", "--only", "frames", "--seed", str(self.options.seed)]
        again += ["--scenarios", setting.case.name, "--first-round", str(setting.round), "--rounds", "1"]
        with (folder / "commands.txt").open("a", encoding="utf-8") as file:
            file.write(f"# {name}: {setting.case.name}, frame {index}: {remark}\n")
            if setting.battery_value is None:  # the command knows no value of batteries
                file.write(f"{shlex.join(solve)}\n")
            file.write(f"# with all frames of its batch: {shlex.join(again)}\n")

    def outcome(self) -> Outcome:
        """The rows of the table."""
        campaign = "Frames"
        rows = [Row(campaign, what, self.tried[name], self.bad[name]) for what, name in NEVER.items()]
        for problem in ("P1", "P1 best set", "P2", "P2 best set"):
            rows += self._verdicts(problem, valued=False)
            defaults = self.statuses[problem, "defaults"]
            what = f"{problem}: undecided, in the defaults"
            rows.append(Row(campaign, what, defaults.total(), defaults[UNDECIDED]))
        rows += [row for problem in ("P1", "P2") for row in self._verdicts(problem, valued=True)]
        planned = self.options.frames
        done = self.frames >= planned or self.options.rounds is not None
        if not done:
            rows.append(Row(campaign, "less than planned", planned, 0, f"{self.frames:,} in the time given"))
        details = {"Frames by scenario": self._by_scenario(), "Failures": self._failures()}
        return Outcome(rows, details, self.saved, done)

    def _verdicts(self, problem: str, *, valued: bool) -> list[Row]:
        """Rows on undecided frames within range, of scenarios with or without valued batteries."""
        names = {case.name for case in CASES if case.within and (case.slopes is not None) == valued}
        counts: Counter = Counter()
        for (solved, name), statuses in self.statuses.items():
            if solved == problem and name in names:
                counts += statuses
        unmet = ALLOWED_UNMET[valued] if problem.startswith("P2") else ALLOWED_UNDECIDED
        rows = []
        for word, status, allowed in (
            ("undecided", UNDECIDED, ALLOWED_UNDECIDED),
            ("bound not met", FEASIBLE, unmet),
        ):
            found, limit = counts[status], int(allowed * counts.total())
            remark = f"{found:,} of {limit:,} allowed" if found else ""
            what = f"{problem}{', valued batteries' if valued else ''}: {word}, within range"
            rows.append(Row("Frames", what, counts.total(), max(0, found - limit), remark))
        return rows

    def _by_scenario(self) -> list[dict[str, Any]]:
        table = []
        for case in CASES:
            for problem in ("P1", "P2"):
                counts = self.statuses.get((problem, case.name))
                if counts is None:
                    continue
                bad = self.bad_by_case[case.name]
                table.append(
                    {
                        "scenario": case.name,
                        "within range": "yes" if case.within else "no",
                        "problem": problem,
                        "frames": counts.total(),
                        "optimal": counts[OPTIMAL],
                        "infeasible": counts[INFEASIBLE],
                        "undecided": counts[UNDECIDED],
                        "bound not met": counts[FEASIBLE],
                        "bad": ", ".join(
                            f"{n:,} {name[3:]}"
                            for name, n in bad.items()
                            if n and name.startswith(problem.lower())
                        ),
                    }
                )
        return table

    def _failures(self) -> list[dict[str, Any]]:
        return [{"scenario": name, "message": text} for text, name in self.failures.items()]


def run(options: Options) -> Outcome:
    """Try frames of every scenario in turn until there are enough, or the time is over."""
    campaign, begun = Campaign(options), time.monotonic()
    cases = [case for case in CASES if not options.cases or case.name in options.cases]
    number = options.first_round
    while True:
        for index, case in enumerate(CASES):
            if case not in cases:
                continue
            if time.monotonic() - begun > options.seconds:
                return campaign.outcome()
            try_batch(campaign, case, number, index)
        number += 1
        options.tell(f"{campaign.frames:,} frames in {time.monotonic() - begun:.0f} s")
        enough = campaign.frames >= options.frames and options.rounds is None
        if enough or number - options.first_round == options.rounds:
            return campaign.outcome()


def try_batch(campaign: Campaign, case: Case, number: int, index: int) -> None:
    """Try everything on one batch of one scenario."""
    random = np.random.default_rng([campaign.options.seed, number, index])
    scenario = case.scenario(random)
    frames = case.draw(random, campaign.options.batch, case.users, case.antennas, scenario)
    slopes = None if case.slopes is None else case.slopes(random, case.users, scenario)
    setting = _Setting(
        case=case,
        scenario=scenario,
        ours=parameters_of(scenario, num_users=case.users, num_antennas=case.antennas),
        theirs=Constants(scenario, case.users, slopes),
        battery_value=None if slopes is None else BatteryValue(slopes=jnp.asarray(slopes)),
        frames=frames,
        round=number,
    )
    usual = case.users == case.antennas == 3 and not scenario.causal_harvest
    usual = usual and scenario.harvest_model == "linear" and slopes is None
    for check in (try_allocation, try_beams):
        try:
            check(campaign, setting, random, usual)
        except (InputError, ValueError, ArithmeticError) as error:
            # Beyond the range, refusal is an answer if its message names the constant.
            message = f"{type(error).__name__}: {error}"
            campaign.failures.setdefault(message[:300], case.name)
            named = any(name in str(error) for name in Scenario.model_fields)
            bad = case.within or not named
            campaign.count("failed", setting, np.full(1, bad))


def try_allocation(campaign: Campaign, setting: _Setting, random: np.random.Generator, usual: bool) -> None:
    """P1 in all schemes, individually and in a batch, for all users and for the best set."""
    case, frames, c = setting.case, setting.frames, setting.theirs
    links = reference.links_of(c, frames.channels, reference.unit_beams(frames.beams, frames.channels))
    answers: dict[str, Answer] = {}
    for scheme in case.schemes:
        solution = _allocate(setting, frames, scheme, "all")
        answer = answers[scheme] = _answer(solution)
        campaign.frames += len(frames)
        command = ["--scheme", scheme]
        _judge(campaign, setting, "P1", answer, scheme, frames, links, command)
        if scheme == case.schemes[0]:
            _neighbours(campaign, setting, "p1", random, solution, lambda f: _allocate(setting, f, "hybrid"))
    _restrictions(campaign, setting, "p1", answers, P1_GAP)
    if usual:
        part = frames.take(np.arange(min(len(frames), 128)))
        best = _answer(_allocate(setting, part, "hybrid", "best"))
        campaign.statuses["P1 best set", case.name].update(best.status.tolist())
        _less_reward(campaign, setting, "p1", best, answers["hybrid"], ["--serve", "best"])


def try_beams(campaign: Campaign, setting: _Setting, random: np.random.Generator, usual: bool) -> None:
    """P2 in the same ways, on a part of the frames."""
    case, c = setting.case, setting.theirs
    if not case.beams_too or setting.round % case.beams_every:
        return
    size = 1 << (1152 // (case.users * case.antennas)).bit_length() - 1
    frames = setting.frames.take(np.arange(min(128, size, len(setting.frames))))
    answers: dict[str, Answer] = {}
    for scheme in case.schemes:
        found = _optimise(setting, frames, scheme)
        answer = answers[scheme] = _answer(found.solution, found)
        campaign.frames += len(frames)
        used = Frames(frames.channels, frames.workload, frames.battery, np.asarray(found.beams))
        links = reference.links_of(c, frames.channels, reference.unit_beams(used.beams, frames.channels))
        command = ["--beams", "optimal", "--scheme", scheme]
        _judge(campaign, setting, "P2", answer, scheme, used, links, command)
        if scheme == case.schemes[0]:
            _neighbours(campaign, setting, "p2", random, found, lambda f: _optimise(setting, f, "hybrid"))
    _restrictions(campaign, setting, "p2", answers, P2_GAP)
    along = _answer(_allocate(setting, setting.frames, "hybrid", "all"))
    _dearer(campaign, setting, answers["hybrid"], along)
    if usual:
        service = optimise_service_frames(setting.ours, _frame(frames), scheme="hybrid")
        best = _answer(service.best.solution, service.best)
        campaign.statuses["P2 best set", case.name].update(best.status.tolist())
        command = ["--beams", "optimal", "--serve", "best"]
        _less_reward(campaign, setting, "p2", best, answers["hybrid"], command)
        rewards = reference.reward(c, frames.workload, best.served, best.energy)
        over = rewards > np.asarray(service.reward_bound) * (1 + 1e-9)
        campaign.count("p2 reward bound", setting, _has_answer(best) & over, command=command)


def _frame(frames: Frames) -> Frame:
    return Frame(
        channels=jnp.asarray(frames.channels),
        workload=jnp.asarray(frames.workload),
        battery=jnp.asarray(frames.battery),
    )


def _allocate(setting: _Setting, frames: Frames, scheme: Any, serve: Any = "all") -> Any:
    solution = allocate_frames(
        setting.ours,
        _frame(frames),
        jnp.asarray(frames.beams),
        scheme=scheme,
        serve=serve,
        battery_value=setting.battery_value,
    )
    return jax.device_get(solution)


def _optimise(setting: _Setting, frames: Frames, scheme: Any) -> Any:
    value = setting.battery_value
    found = optimise_beams_frames(setting.ours, _frame(frames), scheme=scheme, battery_value=value)
    return jax.device_get(found)


def _answer(solution: Any, found: Any = None) -> Answer:
    """Answer of P1's solution, or of P2's, whose verdict, bound and prices hold for all beams."""
    judged, plan = solution if found is None else found, solution.allocation
    return Answer(
        status=np.asarray(judged.status),
        energy=np.asarray(solution.energy),
        value=np.asarray(solution.value),
        lower_bound=np.asarray(judged.lower_bound),
        served=np.asarray(solution.served),
        **{name: np.asarray(getattr(plan, name)) for name in vars(plan)},
        price_workload=np.asarray(judged.prices.workload),
        price_budget=np.asarray(judged.prices.budget),
        price_capacity=np.asarray(judged.prices.capacity),
    )


def _has_answer(answer: Answer) -> np.ndarray:
    return (answer.status == OPTIMAL) | (answer.status == FEASIBLE)


def _scale(energy: np.ndarray) -> np.ndarray:
    """J: reference for relative differences of energies."""
    return np.maximum(energy, ENERGY_FLOOR)


def _judge(
    campaign: Campaign,
    setting: _Setting,
    problem: str,
    answer: Answer,
    scheme: str,
    frames: Frames,
    links: reference.Links,
    command: list[str],
) -> None:
    """Check constraints, energy, gap, published bound and proofs of infeasibility."""
    kind, c = problem.lower(), setting.theirs
    campaign.statuses[problem, setting.case.name].update(answer.status.tolist())
    answered, optimal = _has_answer(answer), answer.status == OPTIMAL
    beams = None if problem == "P2" else frames.beams
    told = {"command": command, "beams": beams}

    def check(name: str, bad: np.ndarray, of: np.ndarray, remark: Callable[[int], str] | None = None) -> None:
        # Frames that are not judged count as not tried; bad frames keep their index in the batch.
        campaign.count(f"{kind} {name}", setting, bad & of, **told, remark=remark)  # type: ignore[arg-type]
        campaign.tried[f"{kind} {name}"] -= int(np.count_nonzero(~of))

    played = reference.play(c, frames, links, answer)
    check("constraints", ~(played.success & answer.served).all(axis=1), answered)
    with np.errstate(all="ignore"):
        scale = _scale(answer.energy)
        off = np.abs(played.energy - answer.energy)
        wrong = ~(off <= 1e-9 * np.maximum(played.energy, 1e-300))
        worth = played.energy - played.value
        off = np.abs(played.value - answer.value)
        wrong |= ~(off <= 1e-9 * np.maximum(played.energy + worth, 1e-300))
        check("energy", wrong, answered)
        if problem == "P1":
            bound = reference.allocation_bound(c, frames, links, answer, scheme)
        else:
            bound = reference.beams_bound(c, frames, answer, scheme)
        least = c.idle_energy - c.worth(c.battery_capacity)  # the bound for prices 0
        bound = np.maximum(bound, least)
        gap = (played.value - bound) / scale
        limit = P1_GAP if problem == "P1" else P2_GAP
        off = np.abs(np.maximum(answer.lower_bound, least) - bound) / scale
        rounding = ROUNDING * (answer.price_workload * frames.workload).sum(axis=1) / scale
    # The same limit on both sides would turn rounding into a verdict.
    check("gap", ~(np.abs(gap) <= limit * (1 + 1e-3)), optimal, lambda k: f"gap {gap[k]:.3g}")
    check(
        "bound",
        ~(off <= BOUND_TOLERANCE + rounding),
        answered,
        lambda k: f"relative difference {off[k]:.3g}",
    )
    infeasible = answer.status == INFEASIBLE
    if not infeasible.any():
        return
    which = np.flatnonzero(infeasible)
    part = frames.take(which)
    chosen = Answer(**{name: value[which] for name, value in vars(answer).items()})
    if problem == "P1":
        part_links = reference.Links(*(value[which] for value in vars(links).values()))
        margin = reference.allocation_bound(c, part, part_links, chosen, scheme, proof=True)
    else:
        margin = reference.beams_bound(c, part, chosen, scheme, proof=True)
    wrong = ~(margin > PROOF_TOLERANCE)
    for place in range(min(CONIC_SAMPLE, len(which))):
        if margin[place] < CONIC_MARGIN or place == 0:
            verdict = _conic(setting, problem, scheme, part.take(np.array([place])))
            wrong[place] |= verdict == CONIC_OPTIMAL and margin[place] < CONIC_MARGIN
    bad, margins = np.zeros(len(frames), bool), np.zeros(len(frames))
    bad[which], margins[which] = wrong, margin
    check("infeasible", bad, infeasible, lambda k: f"margin of the proof {margins[k]:.3g}")


@cache
def _conic_allocation(users: int, scheme: str) -> ReferenceSolver:
    return ReferenceSolver(users, scheme)


@cache
def _conic_beams(users: int, antennas: int, scheme: str, causal: bool) -> ReferenceBeams:
    return ReferenceBeams(users, antennas, scheme, causal)


def _conic(setting: _Setting, problem: str, scheme: str, one: Frames) -> int | None:
    """The conic solver's verdict on one frame with slightly more work; None if it cannot solve it."""
    s, case = setting.scenario, setting.case
    if s.harvest_model != "linear" or case.users > 6:
        return None
    channels, workload, battery = one.channels[0], one.workload[0] * (1 + CONIC_MARGIN), one.battery[0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if problem == "P1":
                beams = reference.unit_beams(one.beams, one.channels)[0]
                data = data_of(s, channels, workload, battery, beams)
                return _conic_allocation(case.users, scheme).solve(data)[0]
            battery = np.minimum(battery, setting.theirs.battery_capacity)
            solver = _conic_beams(case.users, case.antennas, scheme, s.causal_harvest)
            return solver.solve(s, channels, workload, battery)[0]
        except Exception:  # a modelling language may raise anything for such numbers
            return None


def _restrictions(
    campaign: Campaign, setting: _Setting, kind: str, answers: dict[str, Answer], gap: float
) -> None:
    """Check that no restricted scheme needs less."""
    freer = {"active": "hybrid", "passive": "hybrid", "local": "active"}
    for scheme, other in freer.items():
        if scheme not in answers or other not in answers:
            continue
        less, more = answers[scheme], answers[other]
        with np.errstate(all="ignore"):
            slack = gap * _scale(np.maximum(less.energy, np.where(_has_answer(more), more.energy, 0)))
            cheaper = _has_answer(more) & (more.value > less.value + slack)
        bad = _has_answer(less) & (cheaper | (more.status == INFEASIBLE))
        command = ["--scheme", other, *(["--beams", "optimal"] if kind == "p2" else [])]
        campaign.count(
            f"{kind} restriction",
            setting,
            bad,
            command=command,
            remark=lambda k, m=more, ls=less, s=scheme, o=other: (
                f"{s} {ls.value[k]:.9g} J, {o} {m.value[k]:.9g} J (status {m.status[k]})"
            ),
        )


def _dearer(campaign: Campaign, setting: _Setting, optimised: Answer, along: Answer) -> None:
    """Check that the best beams never need more than given beams."""
    count = len(optimised.status)
    with np.errstate(all="ignore"):
        spent = np.where(_has_answer(optimised), optimised.energy, 0)
        slack = P2_GAP * _scale(np.maximum(along.energy[:count], spent))
        dearer = _has_answer(optimised) & (optimised.value > along.value[:count] + slack)
    bad = _has_answer(along)[:count] & (dearer | (optimised.status == INFEASIBLE))
    campaign.count(
        "p2 dearer",
        setting,
        bad,
        command=["--beams", "optimal"],
        remark=lambda k: f"{optimised.value[k]:.9g} J, given beams {along.value[k]:.9g} J",
    )


def _less_reward(
    campaign: Campaign, setting: _Setting, kind: str, best: Answer, everyone: Answer, command: list[str]
) -> None:
    count = len(best.status)
    workload = setting.frames.workload[:count]
    ours = reference.reward(setting.theirs, workload, best.served, best.energy)
    served = _has_answer(everyone)[:count]
    energy = np.where(served, everyone.energy[:count], np.inf)
    theirs = reference.reward(setting.theirs, workload, np.ones(workload.shape, bool), energy)
    bad = served & ~(ours >= theirs * (1 - 1e-9))
    campaign.count(
        f"{kind} best",
        setting,
        bad,
        command=command,
        remark=lambda k: f"best set {ours[k]:.9g} kbit/J, all {theirs[k]:.9g} kbit/J",
    )


def _neighbours(
    campaign: Campaign,
    setting: _Setting,
    kind: str,
    random: np.random.Generator,
    solution: Any,
    solve: Callable[[Frames], Any],
) -> None:
    """Check that a frame's answer is the same, bit by bit, in another order of the batch and individually."""
    count = len(jax.tree.leaves(solution)[0])
    frames = setting.frames.take(np.arange(count))
    order = random.permutation(count)
    differs = _differ(solve(frames.take(order)), solution, order)
    campaign.count(f"{kind} neighbours", setting, differs, remark=lambda k: "in another order")
    chosen = random.choice(count, min(ALONE, count), replace=False)
    alone = np.zeros(count, bool)
    for index in chosen:
        alone[index] = _differ(solve(frames.take(np.array([index]))), solution, np.array([index]))[0]
    campaign.count(f"{kind} neighbours", setting, alone, remark=lambda k: "alone")
    campaign.tried[f"{kind} neighbours"] -= count - len(chosen)


def _differ(again: Any, before: Any, order: np.ndarray) -> np.ndarray:
    """Frames of the second solution that differ in any bit, by their numbers in the first."""
    differs = np.zeros(len(jax.tree.leaves(before)[0]), bool)
    for new, old in zip(jax.tree.leaves(again), jax.tree.leaves(before), strict=True):
        rows = np.ascontiguousarray(new).reshape(len(order), -1).view(np.uint8)
        others = np.ascontiguousarray(np.asarray(old)[order]).reshape(len(order), -1).view(np.uint8)
        differs[order] |= (rows != others).any(axis=1)
    # Numbered as in the first solution; if only some frames were solved again, only theirs can be set.
    return differs if len(order) == len(differs) else differs[order]


assert set(ALL) == set(SCHEMES)
