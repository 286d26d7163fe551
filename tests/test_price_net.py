"""price-net: what holds by construction, what it reaches, and its command line."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank import mrt, p1
from command_line import refused, run
from scattermec import Scenario
from scattermec.errors import InputError
from scattermec.experiments.evaluate.unseen import draw_scenarios
from scattermec.optimisation import optimise_all_or_best
from scattermec.optimisation.response import Broadcast, respond
from scattermec.physics import Frame, links, parameters_of, run_frame
from scattermec.price_net import decide, load, registry, runs, training, variety
from scattermec.price_net.beams import beams_from_unit_prices
from scattermec.price_net.modes import MODES, modes_of
from scattermec.price_net.policy import PriceNet, unit_prices
from scattermec.price_net.robustness import LEVELS, rounded
from scattermec.price_net.training import PriceNetConfig
from scattermec.training.metrics import Row, read

PARAMETERS = parameters_of(Scenario())
TINY = PriceNetConfig(width=4, rounds=1, batch_size=4)

prices = jax.jit(unit_prices)
play = jax.jit(jax.vmap(run_frame, in_axes=(None, 0, 0, 0)))
answer = jax.jit(respond)


def frames(count: int, seed: int = 0) -> Frame:
    return jax.jit(training.draw_frames, static_argnums=2)(jax.random.key(1000 + seed), PARAMETERS, count)


def one_frame(seed: int) -> Frame:
    return jax.tree.map(lambda leaf: leaf[0], frames(1, seed))


@pytest.fixture(scope="module")
def network() -> PriceNet:
    return PriceNet(jax.random.key(3), 8, 2)


# What holds by construction


def test_prices_do_not_depend_on_the_phases_of_the_channels(network: PriceNet) -> None:
    frame = one_frame(1)
    turned = dataclasses.replace(
        frame, channels=frame.channels * jnp.exp(1j * jnp.array([0.3, 2.0, -1.1]))[:, None]
    )
    np.testing.assert_allclose(
        prices(network, PARAMETERS, frame), prices(network, PARAMETERS, turned), rtol=1e-4
    )


def test_prices_follow_the_order_of_the_users(network: PriceNet) -> None:
    frame, order = one_frame(2), np.array([2, 0, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[order], frame)
    parameters = dataclasses.replace(PARAMETERS, path_gain=PARAMETERS.path_gain[order])
    expected = np.asarray(prices(network, PARAMETERS, frame))[np.ix_(order, order)]
    np.testing.assert_allclose(prices(network, parameters, shuffled), expected, rtol=1e-4)
    assert np.ptp(expected) > 1e-3


def test_derivative_of_the_beams_gains_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    channels = jnp.array(rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2)))
    start, way = rng.uniform(0.1, 1, (3, 3)), rng.normal(size=(3, 3))
    weights = rng.normal(size=(3, 3))

    @jax.jit
    def gain(step: jax.Array) -> jax.Array:
        beams = beams_from_unit_prices(channels, jnp.array(start) + step * way)
        return jnp.sum(weights * links.beam_gains(channels, beams))

    slope = float(jax.grad(gain)(jnp.array(0.0)))
    difference = float(gain(jnp.array(1e-5)) - gain(jnp.array(-1e-5))) / 2e-5
    assert slope == pytest.approx(difference, rel=1e-6)


@given(
    st.lists(st.floats(-0.5, 2), min_size=3, max_size=3),
    st.lists(st.floats(-10, 100), min_size=3, max_size=3),
    st.lists(st.floats(-0.1, 1), min_size=3, max_size=3),
    st.integers(0, 20),
)
@settings(max_examples=60)
def test_answers_meet_every_limit_whatever_is_broadcast(
    times: list[float], rates: list[float], harvests: list[float], seed: int
) -> None:
    frame, p = one_frame(seed % 3), PARAMETERS
    told = Broadcast(t_passive=jnp.array(times), passive_rate=jnp.array(rates), harvest=jnp.array(harvests))
    gain = links.channel_gain(frame.channels)
    a = answer(p, gain, frame.workload, frame.battery, told).allocation
    leaves = np.stack([np.asarray(leaf) for leaf in jax.tree.leaves(a)])
    assert np.isfinite(leaves).all()
    assert (leaves >= 0).all()
    slot = np.asarray(p.slot_duration)
    assert (np.asarray(a.t_active + a.t_passive) <= slot * (1 + 1e-9)).all()
    reflected = np.maximum(rates, 0) * np.asarray(a.t_passive)
    assert (np.asarray(a.l_passive) <= reflected * (1 + 1e-9) + 1e-9).all()
    snr = np.asarray(links.active_snr(p, gain))
    t = np.asarray(a.t_active)
    nats = np.where(
        t > 0, np.log(2) * np.asarray(a.l_active) / (float(p.bandwidth) * np.where(t > 0, t, 1)), 0
    )
    spent = t * (np.expm1(nats) / snr + np.asarray(p.circuit_power)) + np.asarray(p.local_energy * a.l_local)
    budget = np.minimum(np.asarray(frame.battery) + np.maximum(harvests, 0), np.asarray(p.battery_capacity))
    assert (spent <= budget * (1 + 1e-6) + 1e-9).all()


def test_answers_cost_what_p1_of_the_same_beams_costs() -> None:
    some = frames(64, seed=5)
    beams = mrt(some)
    solution = p1()(PARAMETERS, some, beams)
    served = np.asarray(solution.status) == 0
    assert served.sum() > 40
    more = 1 + 1e-6  # of the energy: P1's own accuracy

    def answered(frame: Frame, chosen: jax.Array, times: jax.Array) -> jax.Array:
        gains, gain = links.beam_gains(frame.channels, chosen), links.channel_gain(frame.channels)
        told = Broadcast(
            t_passive=times,
            passive_rate=links.passive_rate(PARAMETERS, gain, jnp.diagonal(gains)),
            harvest=more * harvests(gains, times),
        )
        return respond(PARAMETERS, gain, frame.workload, frame.battery * more, told, margin=0.0).allocation

    allocation = jax.jit(jax.vmap(answered))(some, beams, solution.allocation.t_passive)
    richer = dataclasses.replace(PARAMETERS, harvest_efficiency=more * PARAMETERS.harvest_efficiency)
    outcome = play(richer, dataclasses.replace(some, battery=some.battery * more), beams, allocation)
    assert np.asarray(outcome.success)[served].all()
    np.testing.assert_allclose(outcome.ap_energy[served], solution.energy[served], rtol=2e-5)


def harvests(gains: jax.Array, times: jax.Array) -> jax.Array:
    """Equation (8) anew: every user's energy in mJ from the others' beams."""
    others = gains * (1 - jnp.eye(len(times)))
    return 1000 * PARAMETERS.harvest_efficiency * PARAMETERS.ap_power * others @ times


def test_few_bits_never_promise_more() -> None:
    frame = one_frame(4)
    told = Broadcast(
        t_passive=jnp.array([0.0, 0.31, 1.0]),
        passive_rate=jnp.array([0.0, 3.0, 9.0]),
        harvest=jnp.array([0.01, 0.2, 9.0]),
    )
    few = rounded(PARAMETERS, frame, told)
    assert (np.asarray(few.passive_rate) <= np.asarray(told.passive_rate)).all()
    assert (np.asarray(few.harvest) <= np.asarray(told.harvest)).all()
    parts = np.asarray(few.t_passive) / np.asarray(PARAMETERS.slot_duration) * LEVELS
    np.testing.assert_allclose(parts, np.round(parts), atol=1e-9)
    assert (np.asarray(few.t_passive) >= np.asarray(told.t_passive) - 1e-6).all()


def test_antennas_without_a_signal_are_none_at_all(network: PriceNet) -> None:
    frame = one_frame(5)
    more = dataclasses.replace(frame, channels=jnp.pad(frame.channels, ((0, 0), (0, 5))))
    np.testing.assert_allclose(
        prices(network, PARAMETERS, more), prices(network, PARAMETERS, frame), rtol=1e-6
    )
    wide = variety.with_antennas(more, jnp.arange(8) < 2)
    assert (np.asarray(wide.channels[:, 2:]) == 0).all()
    assert (np.asarray(wide.channels[:, :2]) == np.asarray(frame.channels[:, :2])).all()


def test_varied_scenarios_lie_within_their_ranges_and_differ() -> None:
    base = variety.base(Scenario(), 4)
    parameters, drawn = jax.jit(training.draw_varied, static_argnums=2)(jax.random.key(0), base, 64)
    assert drawn.channels.shape == (8, variety.FRAMES_EACH, 4, variety.MOST_ANTENNAS)
    power, distance = np.asarray(parameters.ap_power), np.asarray(base.path_gain / parameters.path_gain)
    assert power.shape == (8,)
    assert ((variety.POWERS[0] <= power) & (power <= variety.POWERS[1])).all()
    assert ((distance >= 0.5 * 4.0) & (distance <= 2.0 * 7.1)).all()
    assert np.unique(power).size == 8
    antennas = (np.abs(np.asarray(drawn.channels)) > 0).any(axis=(1, 2)).sum(axis=1)
    assert ((antennas >= 1) & (antennas <= 8)).all()
    assert np.unique(antennas).size > 1


def test_a_policy_of_varied_scenarios_fits_any_size_and_others_do_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(variety, "USERS", (2,))
    monkeypatch.setattr(runs, "HELD_OUT", 4)
    config = TINY.model_copy(update={"scenarios": "varied", "batch_size": 8})
    (row,), _ = runs.train(Scenario(), config, tmp_path / "run", steps=2)
    assert np.isfinite([row["loss.beams"], row["loss.times"]]).all()
    policy, other = load(tmp_path / "run"), Scenario(user_positions=[[5, 5]] * 4, num_antennas=6)
    registry.check_fit(policy, other)
    with pytest.raises(InputError, match="num_antennas: 6 does not fit a price-net"):
        registry.check_fit(load("price-net"), other)
    for scenario in draw_scenarios(Scenario(mean_workload=30), 20, seed=1):
        registry.check_fit(policy, scenario)
        assert 2 <= scenario.num_users <= 10
        assert scenario.mean_workload == 30


# What the shipped policy reaches


def test_shipped_policy_is_close_to_the_certified_optimum_in_every_mode() -> None:
    network, some = load("price-net").network, frames(300, seed=9)
    best, _ = optimise_all_or_best(PARAMETERS, some)
    optimum = play(PARAMETERS, some, best.beams, best.solution.allocation)
    least = {"p1": 0.998, "announced": 0.998, "decentralised": 0.975}
    for name, mode in modes_of(network).items():
        decided = jax.jit(jax.vmap(lambda frame, mode=mode: mode(network, PARAMETERS, frame)))(some)
        outcome = play(PARAMETERS, some, decided.beams, decided.allocation)
        assert float(jnp.mean(outcome.ap_reward)) > least[name] * float(jnp.mean(optimum.ap_reward))
        assert float(jnp.mean(outcome.success)) > float(jnp.mean(optimum.success)) - 0.006


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"num_antennas": 4}, "num_antennas"),
        ({"user_positions": [[5, 5], [3, 3]]}, "user_positions"),
        ({"harvest_model": "sigmoidal"}, "harvest_model"),
        ({"causal_harvest": True}, "causal_harvest"),
    ],
)
def test_unfitting_scenarios_are_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: .*price-net"):
        registry.check_fit(load("price-net"), Scenario(**changes))


# The two calls of whoever uses a policy


def test_a_policy_is_loaded_and_decides_in_two_calls() -> None:
    policy, frame = load("price-net"), one_frame(3)
    decided = decide(policy, PARAMETERS, frame, "decentralised")
    expected = jax.jit(MODES["decentralised"])(policy.network, PARAMETERS, frame)
    jax.tree.map(np.testing.assert_array_equal, decided, expected)
    some = frames(5)
    together = jax.vmap(partial(decide, policy, PARAMETERS))(some)
    assert together.beams.shape == (5, 3, 3)
    assert float(jnp.mean(play(PARAMETERS, some, together.beams, together.allocation).success)) > 0.9


def test_policies_that_are_not_there_and_scenarios_that_do_not_fit_are_refused(tmp_path) -> None:
    (tmp_path / "run.json").write_text('{"algorithm": "ddpg"}')
    for name in ("price-nets", str(tmp_path), tmp_path / "nowhere"):
        with pytest.raises(InputError, match=f"{name}: is neither one of price-net, .* nor the folder of"):
            load(name)
    policy, frame = load("price-net"), one_frame(3)
    for changes in ({"num_antennas": 4}, {"harvest_model": "sigmoidal"}):
        with pytest.raises(InputError, match=f"^{next(iter(changes))}: .*price-net"):
            decide(policy, parameters_of(Scenario(**changes)), frame)
    with pytest.raises(InputError, match="mode: 'decentralised' is not allowed; it must be p1 or announced"):
        decide(load("price-net-foresight"), PARAMETERS, frame, "decentralised")


# Training, and the command line


def test_configuration_survives_its_file(tmp_path) -> None:
    config = TINY.model_copy(update={"scenarios": "varied", "learning_rate": 1e-2})
    config.save(tmp_path / "config.yaml")
    assert PriceNetConfig.load(tmp_path / "config.yaml") == config


def test_foresight_is_learned_measured_and_resumed_to_the_same_bits(tmp_path, monkeypatch) -> None:
    config = TINY.model_copy(update={"discount": 1.0})  # with foresight, which has more to keep
    monkeypatch.setattr(runs, "CHUNK", 1)
    monkeypatch.setattr(runs, "SAVE_EVERY", 10)
    for name, few in (("HELD_OUT", 8), ("EPISODES", 2), ("EPISODE", 12)):
        monkeypatch.setattr(runs, name, few)
    options = {"steps": 12, "seed": 4, "report": lambda rows: None}
    rows, _ = runs.train(Scenario(), config, tmp_path / "whole", resume=False, **options)
    assert set(rows[-1]) >= {"efficiency.p1", "outage.p1", "efficiency.announced", "loss.beams"}
    value = load(tmp_path / "whole").network.battery_value
    assert value is not None
    assert np.ptp(np.asarray(value.slopes)) > 0
    lines = refused("evaluate-broadcast", str(tmp_path / "whole"))
    wanted = "is not allowed; it must have the modes announced and decentralised"
    assert lines == [f"{tmp_path / 'whole'}: {wanted}"]
    lines = refused("simulate-policy", str(tmp_path / "whole"), "--mode", "decentralised")
    assert lines[0].startswith("mode: decentralised is not one of")

    class StoppedError(Exception):
        pass

    def stop(rows: list[Row]) -> None:
        # The last checkpoint is that of step 10.
        if rows[-1]["frame"] == 11:
            raise StoppedError

    with pytest.raises(StoppedError):
        runs.train(Scenario(), config, tmp_path / "cut", resume=False, **(options | {"report": stop}))
    runs.train(Scenario(), config, tmp_path / "cut", resume=True, **options)
    for file in (registry.NETWORKS, "checkpoint.npz"):
        with np.load(tmp_path / "whole" / file) as one, np.load(tmp_path / "cut" / file) as two:
            assert one.files == two.files
            for name in one.files:
                np.testing.assert_array_equal(one[name], two[name])
    assert read(tmp_path / "whole" / "metrics.parquet") == read(tmp_path / "cut" / "metrics.parquet")
    kept = json.loads((tmp_path / "cut" / "run.json").read_text())
    changed = kept | {"versions": kept["versions"] | {"jax": "0.1"}}
    (tmp_path / "cut" / "run.json").write_text(json.dumps(changed))
    _, notes = runs.train(Scenario(), config, tmp_path / "cut", resume=True, **options)
    assert notes == (f"jax 0.1 is now {jax.__version__}: the last digits may differ",)
    with pytest.raises(InputError, match="seed: 5 is not allowed with --resume"):
        runs.train(Scenario(), config, tmp_path / "cut", resume=True, **(options | {"seed": 5}))


def test_gradients_of_training_are_finite_and_lower_the_cost() -> None:
    config = TINY.model_copy(update={"knowledge": "varied"})
    progress, costs = training.begin(config, 0, 120), []
    for _ in range(4):
        progress, losses = training.advance(
            progress, PARAMETERS, jnp.uint32(0), config=config, steps=120, count=30
        )
        costs.append(float(losses.beams + losses.times))
    assert np.isfinite(costs).all()
    assert costs[-1] < costs[0]


def test_simulate_rolls_the_shipped_policy_out_at_once() -> None:
    result = json.loads(run("simulate-policy", "price-net", "--frames", 60, "--json").stdout)
    assert (result["policy"], result["frames"]) == ("price-net", 60)
    assert 0 <= result["estimates"]["outage"]["mean"] < 0.5
    lines = refused("simulate-policy", "price-net", "--set", "num_antennas=2")
    assert any(line.startswith("num_antennas: 2 does not fit a price-net") for line in lines)
