"""The claims' verdicts on made-up measurements, where the right answer is known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattermec.experiments.claims import evidence
from scattermec.experiments.claims.evidence import Condition, Curve, curve
from scattermec.experiments.claims.optima import CLAIMS, examine, judge
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.sweeps import SWEEPS, Measurement
from scattermec.experiments.report import markdown
from scattermec.scenario import Scenario

UP, DOWN, FLAT = (0.1, 0.3, 0.5), (0.5, 0.3, 0.1), (0.3, 0.3, 0.3)
ALL_LOCAL = {"active": (0.01, 0, 0), "passive": (0.01, 0, 0), "local": (0.98, 1, 1)}
SETTINGS = {"version": "0", "regime": "made up", "frames": 9, "seed": 0, "beams": ["mrt"]}


def points(swept, scheme, metric, means, half_width=0.01, unit=""):
    values = np.linspace(*getattr(Scenario(), f"{swept}_sweep"), len(means))
    return [
        Measurement(
            swept, float(v), scheme, "mrt", metric, unit, float(m), m - half_width, m + half_width, 9, 0
        )
        for v, m in zip(values, means, strict=True)
    ]


def as_the_paper_says(**changes):
    """Measurements that bear out every claim; ``changes`` replaces curves, keyed sweep_scheme_metric."""
    curves = {
        ("ap_power", "hybrid", "active_share"): (0.05, 0.2, 0.4),
        ("ap_power", "hybrid", "passive_share"): (0.35, 0.3, 0.2),
        ("ap_power", "hybrid", "local_share"): (0.6, 0.5, 0.4),
        ("mean_workload", "hybrid", "active_share"): (0.6, 0.4, 0.2),
        ("mean_workload", "hybrid", "passive_share"): (0.35, 0.3, 0.3),
        ("mean_workload", "hybrid", "local_share"): (0.05, 0.3, 0.5),
        ("mean_workload", "hybrid", "t_active"): DOWN,
        ("mean_workload", "hybrid", "t_passive"): UP,
        ("distance", "hybrid", "active_share"): DOWN,
        ("distance", "hybrid", "passive_share"): FLAT,
        ("distance", "hybrid", "local_share"): UP,
        ("distance", "hybrid", "frame_efficiency"): (9.0, 4.0, 1.02),
        ("distance", "active", "frame_efficiency"): (6.0, 3.0, 1.01),
        ("distance", "local", "frame_efficiency"): (3.0, 2.0, 1.0),
        ("distance", "hybrid", "relative_energy"): (0.3, 0.5, 0.95),
        ("distance", "active", "relative_energy"): (0.5, 0.7, 0.97),
        ("distance", "local", "relative_energy"): (1.0, 1.0, 1.0),
    }
    rows = []
    for (swept, scheme, metric), means in curves.items():
        means = changes.get(f"{swept}_{scheme}_{metric}", means)
        rows += points(swept, scheme, metric, means)
    return rows


def verdicts(measurements, swept=tuple(SWEEPS)):
    return {finding.name: finding.verdict for finding in examine(measurements, swept)}


def test_every_claim_holds_on_the_paper_s_own_picture():
    found = verdicts(as_the_paper_says())
    assert {found[claim.name] for claim in CLAIMS} == {"holds"}


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("3a-1", {"ap_power_hybrid_active_share": (0.6, 0.6, 0.6)}),
        ("3a-2", {"ap_power_hybrid_passive_share": (0.01, 0.01, 0.01)}),
        ("3a-3", {"ap_power_hybrid_local_share": (0.2, 0.4, 0.6)}),
        ("3a-4", {"ap_power_hybrid_active_share": DOWN}),
        ("3b-1", {f"mean_workload_hybrid_{mode}_share": share for mode, share in ALL_LOCAL.items()}),
        ("3b-2", {"mean_workload_hybrid_t_passive": DOWN}),
        ("3b-3", {"mean_workload_hybrid_t_active": UP}),
        ("3b-4", {"mean_workload_hybrid_local_share": DOWN}),
        ("4a-1", {"distance_hybrid_local_share": DOWN}),
        ("4a-2", {"distance_hybrid_active_share": UP}),
        ("4a-3", {"distance_hybrid_active_share": (0.6, 0.6, 0.6)}),
        ("4b-1", {f"distance_{s}_frame_efficiency": UP for s in ("hybrid", "active", "local")}),
        ("4b-3", {f"distance_{s}_frame_efficiency": (9.0, 4.0, 3.0) for s in ("hybrid", "active")}),
    ],
)
def test_a_contrary_picture_refutes_the_claim(claim, changes):
    assert verdicts(as_the_paper_says(**changes))[claim] == "does not hold"


@given(st.data())
def test_a_margin_is_positive_only_where_a_condition_is_met_and_negative_only_where_it_is_not(data):
    numbers = st.floats(0.001, 1.0)
    changed = (
        "distance_hybrid_frame_efficiency",
        "distance_local_frame_efficiency",
        "distance_active_relative_energy",
        "ap_power_hybrid_active_share",
        "mean_workload_hybrid_t_active",
    )
    means = {key: tuple(data.draw(st.lists(numbers, min_size=3, max_size=3), label=key)) for key in changed}
    for finding in examine(as_the_paper_says(**means), tuple(SWEEPS)):
        for condition in finding.conditions:
            if condition.margin > 0:
                assert condition.judgement == "met"
            if condition.margin < 0:
                assert condition.judgement != "met"


def test_a_margin_grows_with_what_is_measured_and_is_a_relative_difference():
    shares = (0.03, 0.05, 0.06, 0.2, 0.5)
    found = [evidence.below("small", Estimate(s, s - 0.01, s + 0.01), 0.1).margin for s in shares]
    assert found == pytest.approx([0.6, 0.4, 0.3, -1.1 / 2.1, -4.1 / 5.1])
    assert evidence.rises(
        "up", Curve("x", "", *np.array([[0, 1], [1, 2], [0.9, 1.9], [1.1, 2.1]]))
    ).margin == (pytest.approx((1.9 - 1.1) / 1.9))
    assert evidence.rises("up", Curve("x", "", *np.zeros((4, 0)))).margin == evidence.NO_DATA


def test_the_order_of_the_schemes_holds_in_part_where_one_scheme_drops_below():
    found = verdicts(as_the_paper_says(distance_hybrid_frame_efficiency=(9.0, 2.5, 1.02)))
    assert found["4b-2"] == "holds in part"


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("3a-1", {"ap_power_hybrid_active_share": (0.2, 0.4, 0.6)}),
        ("3a-4", {"ap_power_hybrid_active_share": (0.05, 0.5, 0.4)}),
        ("4a-1", {"distance_hybrid_local_share": (0.300, 0.302, 0.305)}),
        ("4b-1", {"distance_active_frame_efficiency": UP}),
    ],
)
def test_half_a_picture_bears_the_claim_out_in_part(claim, changes):
    assert verdicts(as_the_paper_says(**changes))[claim] == "holds in part"


def test_sweeps_that_were_not_run_leave_their_claims_unexamined():
    found = verdicts(as_the_paper_says(), swept=("ap_power",))
    assert found["3a-1"] == "holds"
    assert found["3b-1"] == found["4b-3"] == "not examined"


def test_points_without_a_number_are_left_out():
    rows = points("distance", "local", "relative_energy", (1.0, np.nan, 1.0))
    assert curve(rows, "distance", "local", "relative_energy").values.size == 2
    nothing = curve([], "distance", "local", "relative_energy")
    assert evidence.rises("it rises", nothing).judgement == "unclear"
    assert evidence.never_below("it stays above", nothing, nothing).measured == "no data"


def test_verdict_counts_the_conditions():
    met, unclear, unmet = (Condition("it is so", j, "1", 0.0) for j in ("met", "unclear", "not met"))
    assert judge([met, met])[0] == "holds"
    assert judge([unmet, unmet])[0] == "does not hold"
    assert judge([met, unmet])[0] == judge([unclear])[0] == judge([unclear, unmet])[0] == "holds in part"
    assert "1 of 2 conditions met" in judge([met, unmet])[1]
    assert judge([unmet, met.beside()])[0] == judge([unmet, unclear.beside()])[0] == "does not hold"
    assert judge([met, unmet.beside()])[0] == "holds in part"


@pytest.mark.parametrize(
    ("estimate", "judgement"),
    [
        (Estimate(0.2, 0.15, 0.25), "met"),
        (Estimate(0.2, 0.05, 0.25), "unclear"),
        (Estimate(0.05, 0.01, 0.2), "not met"),
        (Estimate(np.nan, np.nan, np.nan), "not met"),
    ],
)
def test_a_threshold_wants_the_whole_interval(estimate, judgement):
    assert evidence.above("it is above 10%", estimate, 0.1).judgement == judgement


def test_rising_wants_both_ends_and_no_clear_fall_between():
    def judged(means, half_width=0.01):
        rows = points("distance", "hybrid", "local_share", means, half_width)
        line = curve(rows, "distance", "hybrid", "local_share")
        return evidence.rises("up", line).judgement, evidence.falls("down", line).judgement

    assert judged(UP) == ("met", "not met")
    assert judged(DOWN) == ("not met", "met")
    assert judged((0.1, 0.6, 0.5)) == ("unclear", "not met")
    assert judged((0.1, 0.505, 0.5)) == ("met", "not met")
    assert judged(UP, half_width=0.3) == ("unclear", "not met")


def test_report_names_every_claim_and_its_numbers():
    findings = examine(as_the_paper_says(), tuple(SWEEPS), "mrt")
    text = markdown.claims_markdown(findings, SETTINGS, [])
    for claim in CLAIMS:
        assert f"## {claim.name}: {claim.statement}" in text
    assert "5.0% (4.0 to 6.0%)" in text  # the active share at the lowest power
    kept = json.loads(markdown.claims_json(findings, SETTINGS))
    assert len(kept["claims"]) == len(CLAIMS)
    assert kept["claims"][-1]["conditions"][0]["judgement"] == "met"


def test_points_without_a_number_say_nothing_about_an_order():
    values, none = np.array([1.0, 2.0]), np.array([np.nan, np.nan])
    unknown = Curve("a", "", values, none, none, none)
    assert evidence.never_below("a", unknown, unknown).judgement == "unclear"
    upper = Curve("a", "", values, np.array([np.nan, 3.0]), np.array([np.nan, 2.9]), np.array([np.nan, 3.1]))
    zero = Curve("b", "", values, np.zeros(2), np.zeros(2), np.zeros(2))
    assert evidence.never_below("a", upper, zero).judgement == "met"
    assert evidence.never_below("a", zero, upper).judgement == "not met"
