"""The picture of a frame shows the frame: what is drawn is compared with the numbers it stands for."""

import functools
import re
import sys
import threading

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bank import single
from scattermec.physics import Allocation, Frame, maximum_ratio_beams, parameters_of, run_frame
from scattermec.physics.channel import channels_from_scatter, initial_scatter
from scattermec.pictures import draw_frame, render_rgb_array, save_figure, style
from scattermec.pictures._timeline import beam_pattern
from scattermec.scenario import Scenario

MODES = ("active", "passive", "local")

# Compiled whole, for operation by operation the compilation would take longer than all the drawing.
play = jax.jit(run_frame)
mrt = jax.jit(maximum_ratio_beams)
draw_channels = jax.jit(lambda p: channels_from_scatter(p, initial_scatter(jax.random.key(3), p)))


@functools.cache
def example(
    users=3, antennas=3, workload=30.0, t_active=0.3, t_passive=0.3, shares=(0.4, 0.1, 0.5), **constants
):
    """A frame with every user's schedule alike: work divided by ``shares`` (active, passive, local)."""
    angles = np.linspace(0.2, 5.5, users)
    positions = tuple((float(4 * np.cos(angle)), float(4 * np.sin(angle))) for angle in angles)
    scenario = Scenario(num_antennas=antennas, user_positions=positions, **constants)
    p = parameters_of(scenario)
    channels = draw_channels(p)
    frame = Frame(channels=channels, workload=np.full(users, workload), battery=np.full(users, 0.3))
    work = {f"l_{mode}": share * frame.workload for mode, share in zip(MODES, shares, strict=True)}
    allocation = Allocation(
        t_active=np.full(users, t_active),
        t_passive=np.full(users, t_passive),
        t_local=work["l_local"] / 50.0,
        **work,
    )
    frame, allocation = jax.device_put((frame, allocation))
    beams = mrt(channels)
    return p, frame, beams, allocation, play(p, frame, beams, allocation)


@functools.cache
def picture(**constants):
    return draw_frame(*example(**constants))


def blocks(figure, name):
    """The rectangles whose name is, or starts with, ``name`` followed by a slash."""
    found = figure.findobj(lambda a: isinstance(a, Rectangle) and f"{a.get_gid()}/".startswith(f"{name}/"))
    return sorted(found, key=lambda rectangle: rectangle.get_x())


def width(figure, name):
    return sum(rectangle.get_width() for rectangle in blocks(figure, name))


def text(figure, name):
    (found,) = figure.findobj(lambda a: a.get_gid() == name)
    return found.get_text()


@pytest.mark.parametrize("users", [1, 3, 10])
def test_timeline_segments_last_as_long_as_the_schedule(users):
    allocation, figure = example(users=users)[3], picture(users=users)
    for user in range(users):
        for mode in MODES:
            assert width(figure, f"time/{mode}/{user}") == pytest.approx(
                float(getattr(allocation, f"t_{mode}")[user])
            )
        whole = sum(width(figure, f"time/{part}/{user}") for part in ("active", "passive", "idle"))
        assert whole == pytest.approx(1.0)
        assert blocks(figure, f"time/active/{user}")[0].get_x() == pytest.approx(user)


def test_a_schedule_longer_than_its_slot_is_cut_and_marked():
    figure = draw_frame(*example(t_active=0.7, t_passive=0.6))
    assert width(figure, "time/active/1") + width(figure, "time/passive/1") == pytest.approx(1.0)
    assert blocks(figure, "time/overrun/1")
    assert "slot too short" in text(figure, "work/verdict/1")


@pytest.mark.parametrize("case", [{"users": 1}, {"users": 10}, {"users": 3, "shares": (0.3, 0.05, 0.4)}])
def test_work_bars_add_up_to_the_workload(case):
    allocation, figure = example(**case)[3], picture(**case)
    for user in range(case["users"]):
        for mode in MODES:
            assert width(figure, f"work/{mode}/{user}") == pytest.approx(
                float(getattr(allocation, f"l_{mode}")[user])
            )
        whole = sum(width(figure, f"work/{part}/{user}") for part in (*MODES, "unserved"))
        assert whole == pytest.approx(30.0)


@pytest.mark.parametrize("case", [{"users": 1}, {"users": 10}, {"users": 3, "battery_capacity": 0.3}])
def test_energy_in_equals_energy_out(case):
    outcome, figure = example(**case)[4], picture(**case)
    for user in range(case["users"]):
        income = width(figure, f"energy/battery/{user}") + width(figure, f"energy/harvested/{user}")
        assert income == pytest.approx(0.3 + float(outcome.harvested[user]))
        spent = sum(
            width(figure, f"energy/{part}/{user}") for part in ("transmit", "circuit", "local", "wasted")
        )
        assert spent == pytest.approx(float(outcome.spent[user]))
        kept = width(figure, f"energy/left_over/{user}"), width(figure, f"energy/overflow/{user}")
        assert kept == pytest.approx((float(outcome.battery[user]), float(outcome.overflow[user])), abs=1e-12)
        assert income == pytest.approx(spent + sum(kept))


def test_energy_out_is_divided_as_the_model_charges_it():
    allocation, outcome = example(users=3)[3:]
    figure = picture(users=3)
    assert outcome.success.all()
    for user in range(3):
        assert width(figure, f"energy/local/{user}") == pytest.approx(0.005 * float(allocation.l_local[user]))
        assert width(figure, f"energy/circuit/{user}") == pytest.approx(0.3 * 0.01)
        assert width(figure, f"energy/transmit/{user}") == pytest.approx(
            0.3 * float(outcome.transmit_power[user])
        )


def test_the_header_shows_energy_efficiency_reward_and_who_is_served():
    case = example()
    outcome, figure = case[4], draw_frame(*case, title="A good frame")
    assert text(figure, "header/title") == "A good frame"
    assert text(figure, "header/energy") == f"{float(outcome.ap_energy):.3g} J"
    efficiency = 90 / float(outcome.ap_energy)
    for name in ("efficiency", "reward"):
        assert float(text(figure, f"header/{name}").split()[0]) == pytest.approx(efficiency, rel=0.01)
    assert text(figure, "header/served") == "3 of 3 served, no outage"
    assert all(text(figure, f"work/verdict/{user}").startswith("✓") for user in range(3))


def test_an_outage_is_crossed_out_and_explained():
    # Active work in no time: the demand is infinite.
    case = example(t_active=0.0)
    figure = draw_frame(*case)
    assert text(figure, "header/served") == "0 of 3 served, outage: users 1, 2, 3"
    for user in range(3):
        (crossed,) = blocks(figure, f"work/outage/{user}")
        assert crossed.get_hatch()
        assert crossed.get_width() == pytest.approx(30.0)
        assert text(figure, f"work/verdict/{user}") == "✗ 30 kbit: too little energy"
        assert text(figure, f"energy/need/{user}") == "✗ needs ∞"
        assert width(figure, f"energy/wasted/{user}") == pytest.approx(float(case[4].spent[user]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shares": (0.4, 0.1, 0.4)}, "work left out"),
        ({"shares": (0.0, 1.0, 0.0), "t_passive": 0.01}, "passive too slow"),
        ({"local_rate": 1.0}, "local too slow"),
        ({"t_passive": -0.1}, "passive too slow"),
    ],
)
def test_the_reason_of_an_outage_is_the_limit_that_is_broken(change, reason):
    assert reason in text(draw_frame(*example(**change)), "work/verdict/0")


def test_each_cell_shows_the_energy_of_its_user_and_slot():
    case = example(causal_harvest=True)
    figure = draw_frame(*case)
    for user in range(3):
        slots = {slot: width(figure, f"energy/harvested/{user}/{slot}") for slot in range(3)}
        assert slots[user] == 0
        assert sum(slots.values()) == pytest.approx(float(case[4].harvested[user]))
        for slot in range(3):
            if slot != user:
                (bar,) = blocks(figure, f"energy/harvested/{user}/{slot}")
                usable = bar.get_facecolor()[:3] == pytest.approx(to_rgb(style.HARVESTED))
                assert usable == (slot < user)


def test_a_beam_that_carries_no_work_is_drawn_as_energy():
    figure = draw_frame(*example(shares=(0.5, 0.0, 0.5)))
    (beam,) = blocks(figure, "time/passive/0")
    assert beam.get_facecolor()[:3] == pytest.approx(to_rgb(style.HARVESTED))


def test_users_stand_where_they_are_said_to_or_where_their_gain_and_bearing_tell():
    case = example()

    def drawn(figure):
        return np.array(
            [
                np.ravel(figure.findobj(lambda a, u=user: a.get_gid() == f"map/user/{u}")[0].get_xydata())
                for user in range(3)
            ]
        )

    given = np.array([[1.0, 2.0], [-3.0, 1.0], [2.0, -2.0]])
    np.testing.assert_allclose(drawn(draw_frame(*case, positions=given)), given)
    angles = np.linspace(0.2, 5.5, 3)
    # The first two users are nearly mirror images, so the second goes to the left, where it is not hidden.
    side = np.array([1, -1, 1])
    deduced = 4 * np.stack([side * np.abs(np.cos(angles)), np.sin(angles)], axis=1)
    np.testing.assert_allclose(drawn(draw_frame(*case)), deduced, atol=1e-9)
    with pytest.raises(ValueError, match=re.escape("needs (3, 2)")):
        draw_frame(*case, positions=given[:2])


def test_a_beam_along_a_direction_has_its_full_gain_there():
    angle = 0.4
    beam = np.exp(1j * np.pi * np.sin(angle) * np.arange(4)) / 2
    pattern = beam_pattern(beam, np.array([angle, np.pi - angle, -1.0]))
    np.testing.assert_allclose(pattern[:2], 4.0)
    assert pattern[2] < 4.0


@pytest.mark.parametrize(
    "case",
    [
        {"workload": 0.0},
        {"workload": 0.0, "t_active": 0.0, "t_passive": 0.0, "idle_power": 0.0},
        {"t_active": 0.0, "t_passive": 0.0, "shares": (0.0, 0.0, 0.0)},
        {"antennas": 1},
        {"users": 10, "slot_duration": (0.02, *[1.0] * 8, 3.0)},
    ],
)
def test_odd_frames_are_drawn_without_a_warning(case):
    pixels = render_rgb_array(draw_frame(*example(**case)))
    assert pixels.shape == (800, 1200, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() < 60
    assert pixels.max() == 255


def test_frames_without_a_topology_are_drawn():
    _, frame, beams, allocation, _ = example()
    bare = parameters_of(Scenario(), num_users=3, num_antennas=3)
    figure = draw_frame(bare, frame, beams, allocation, play(bare, frame, beams, allocation))
    assert render_rgb_array(figure).shape == (800, 1200, 3)


def test_single_precision_is_drawn_too():
    figure = draw_frame(*single(example()))
    assert text(figure, "header/served").startswith("3 of 3")


def test_texts_of_the_default_picture_do_not_overlap():
    figure = draw_frame(*example())
    figure.canvas.draw()
    boxes = [
        (artist.get_text(), artist.get_window_extent())
        for artist in figure.findobj(
            lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip()
        )
    ]
    boxes = [(words, box) for words, box in boxes if box.width > 0]
    for place, (words, box) in enumerate(boxes):
        assert min(box.x0, box.y0, 1200 - box.x1, 800 - box.y1) >= 0, words
        for other, another in boxes[place + 1 :]:
            overlap_x = min(box.x1, another.x1) - max(box.x0, another.x0)
            overlap_y = min(box.y1, another.y1) - max(box.y0, another.y0)
            assert min(overlap_x, overlap_y) < 3, (words, other)


def test_export_is_repeatable_and_needs_no_pyplot(tmp_path):
    had_pyplot = "matplotlib.pyplot" in sys.modules
    case = example()
    first = save_figure(draw_frame(*case), tmp_path / "a" / "frame.v1")
    second = save_figure(draw_frame(*case), tmp_path / "b" / "frame.v1")
    assert [path.name for path in first] == ["frame.v1.svg", "frame.v1.pdf", "frame.v1.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size > 5000
    assert had_pyplot or "matplotlib.pyplot" not in sys.modules


def test_figures_are_drawn_in_threads():
    case = example()
    pictures = {}

    def draw(name):
        pictures[name] = render_rgb_array(draw_frame(*case))

    threads = [threading.Thread(target=draw, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'scattermec[figures]'")):
        draw_frame(*example())


def test_schemes_are_told_apart_without_colour():
    looks = {(scheme.marker, scheme.linestyle) for scheme in style.SCHEMES.values()}
    assert set(style.SCHEMES) == {"hybrid", "active", "local", "passive"}
    assert len(looks) == len(style.SCHEMES)
    assert len(set(style.PARTS.values())) == len(style.PARTS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.03456, "0.0346"),
        (1234.5, "1234"),
        (np.inf, "∞"),
        (1e9, "1e9"),
        (2e-7, "2e−7"),
        (40.0, "40"),
    ],
)
def test_numbers_are_written_shortly(value, words):
    assert style.compact(value) == words
