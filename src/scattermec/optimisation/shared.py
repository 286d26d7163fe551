"""Constants shared by the portable solver and the kernel, and the arrays passed to and from the kernel.

``setup.py`` generates the kernel's ``shared.h`` from this module, and `scattermec.optimisation.compiled`
calls the kernel with the same tables. So this module imports only the standard library.
"""

import hashlib
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """Settings of an attempt to solve a frame: bold at first, more careful if that gets stuck."""

    boundary: Any
    """longest step, as a fraction of the step to the boundary"""
    centrality: Any
    """least complementarity product, as a fraction of the mean"""
    centring: Any
    """least target of the products, as a fraction of their mean"""
    span: Any
    """a slack takes its exact value if that is within this factor of the linearised one"""
    slack: Any
    """else it is kept near the linearised one, if the residual is then below this many mean products"""
    start: Any
    """initial times, in slots"""


ATTEMPTS = (
    Attempt(0.9996, 1e-5, 6e-4, 5.0, 150.0, 1.0),
    Attempt(0.99, 1e-3, 1e-3, 10.0, 10.0, 1.0),
    Attempt(0.99, 1e-3, 1e-3, 30.0, 100.0, 1.0),
    Attempt(0.99, 1e-3, 1e-3, 10.0, 30.0, 1e-2),
    Attempt(0.99, 1e-3, 1e-3, 10.0, 30.0, 1e-4),
)
MAX_ITERATIONS = 80
"""Iterations per attempt."""

GUESS = {
    "t_active": 0.7,
    "t_passive": 0.45,
    "energy": 0.6,
    "l_local": 0.5,
    "time": 1.3,
    "work": 2.3,
    "local": 0.75,
    "budget": 1.3,
    "capacity": 0.01,
    "kept": 1.0,
    "worth": 1.0,
    "tau": 1.6,
}
"""Starting point of the first attempt, where every product is 1: chosen for the fewest iterations over many
scenarios. Later attempts start at 1, except for the times, and for the worth, which starts below its planes
so that it never has a residual."""
VALUED_GUESS = GUESS | {
    "t_passive": 1.23,
    "energy": 0.43,
    "l_local": 0.39,
    "time": 1.4,
    "local": 0.6,
    "budget": 1.1,
    "capacity": 0.13,
    "worth": 1.2,
}
"""The same where energy kept in the batteries has a value."""

STEP_BACK = 0.8
"""Factor by which a step is shortened until it stays near the central path."""
LEAST_STEP = 1e-8
"""Length below which a step is not shortened."""
SHORT_STEP = 0.1
"""After a step shorter than this, the next one recentres."""
BEND_REACH = 0.95
"""Fraction of the predictor's step at which the second-order change of the curved slacks is measured."""
BEND_LIMIT = 10.0
"""Limit of that change, in mean products."""

GAP = 1e-8
"""Certified gap below which a problem is solved, relative to its cost plus `LEAST_COST`."""
LEAST_COST = 1e-2
RESIDUAL_PER_GAP = 1e-4
"""Constraint violation that is allowed then, as a fraction of the gap."""
PROOF = 1e-9
"""Margin that counts as a proof of infeasibility."""

BEAM_GAP_PER_GAP = 100.0
"""Certified gap at which a search for beams ends, in multiples of the gap of a solved problem."""
MAX_ROUNDS = 200
"""Rounds of new beams after which the search gives up; a handful is usual."""
MERGE_ROUNDS = 8
"""Every so many rounds, one beam of each slot is replaced by the merged beam."""

BEAM_STEPS = 30
"""Gauss-Newton steps towards a single beam, per start."""
BEAM_STARTS = 12
"""Starting points of the search for a single beam."""
BEAM_TURN = 2.399963
"""Phase between two beams, by which the starting points differ."""
BEAM_RIDGE = 1e-14
BEAM_DAMPING = 1e-3
LONGEST_BEAM_STEP = 0.5


class Argument(NamedTuple):
    """An argument or result of the kernel."""

    name: str
    dimensions: str = "N"
    """N users, K beams per slot, M antennas, S parts of a battery and V = N (0 and 0 without battery
    values), E = N in the elastic form (0 in the rigid form)"""
    kind: str = "real"
    """``real`` and ``complex`` in the precision of the data, ``bool`` or ``int``"""


FRAME = (
    *map(
        Argument,
        (
            "active_rate",
            "snr",
            "workload",
            "local_limit",
            "battery",
            "capacity",
            "circuit",
            "local_energy",
            "cost_active",
            "cost_passive",
            "gain_local",
        ),
    ),
    Argument("cost_shortfall", "E"),
    Argument("plane_unit", "V"),
    Argument("plane_slope", "NS"),
    Argument("plane_size", "V"),
    Argument("skip", "", "bool"),
)
"""A problem without its beams, as in `scattermec.optimisation.standard_form.StandardForm`, and whether to
skip it."""

ALLOCATION = (Argument("passive_rate", "NK"), Argument("harvest", "NNK"))
"""Additional arguments of P1: the given beams."""

ALLOCATION_RESULTS = (
    Argument("t_active"),
    Argument("t_passive", "NK"),
    *map(Argument, ("energy", "l_local", "shortfall", "time", "work", "local", "budget", "capacity")),
    Argument("kept", "V"),
    Argument("worth", "V"),
    Argument("tau", ""),
    Argument("iterations", "", "int"),
)
"""Entries of `scattermec.optimisation.homogeneous.Optimum`."""

SEARCH = (
    Argument("reflected_work"),
    Argument("reflected_snr"),
    Argument("harvest_weight", "NN"),
    Argument("constant", ""),
    Argument("small", ""),
    Argument("fills", "N", "bool"),
    Argument("channels", "NM", "complex"),
    Argument("beams", "NKM", "complex"),
)
"""Additional arguments of P2, the search for beams; see `scattermec.optimisation.compiled.search_beams`."""

SEARCH_RESULTS = (
    Argument("beams", "NM", "complex"),
    *map(Argument, ("work", "budget", "capacity", "worth")),
    Argument("shared_energy", ""),
    Argument("infeasible", "", "bool"),
    Argument("rounds", "", "int"),
)
"""Entries of `scattermec.optimisation.compiled.BeamSearch`."""


def digest() -> str:
    """Digest of the header, which shows whether a kernel was built from this module."""
    return hashlib.sha256(_header().encode()).hexdigest()


def header() -> str:
    """This module as C++: ``kernel/shared.h``."""
    return _header() + f'constexpr char DIGEST[] = "{digest()}";\n'


def _header() -> str:
    lines = ["// Made from shared.py when the kernel is built.", ""]
    for name, value in sorted(globals().items()):
        if name.isupper() and isinstance(value, int | float):
            lines.append(f"constexpr {'int' if isinstance(value, int) else 'double'} {name} = {value!r};")
    fields = ", ".join(Attempt._fields)
    ways = ", ".join("{" + ", ".join(map(repr, attempt)) + "}" for attempt in ATTEMPTS)
    lines.append(f"constexpr struct Attempt {{ double {fields}; }} ATTEMPTS[] = {{{ways}}};")
    lines.append(f"struct Guess {{ double {', '.join(GUESS)}; }};")
    for name, guess in (("GUESS", GUESS), ("VALUED_GUESS", VALUED_GUESS)):
        lines.append(f"constexpr Guess {name} = {{{', '.join(map(repr, guess.values()))}}};")
    lines += _struct("Frame", FRAME, constant=True)
    lines += _struct("Problems", ALLOCATION, constant=True, base="Frame", first=len(FRAME))
    lines += _struct("Results", ALLOCATION_RESULTS)
    lines += _struct("BeamProblems", SEARCH, constant=True, base="Frame", first=len(FRAME))
    lines += _struct("BeamResults", SEARCH_RESULTS)
    return "\n".join(lines) + "\n"


_SIZES = {"N": "users", "E": "shortfalls", "K": "beams", "M": "antennas", "S": "parts", "V": "valued()"}
_TYPES = {"real": "Scalar", "complex": "std::complex<Scalar>", "bool": "bool", "int": "std::int32_t"}


def _struct(
    name: str, arguments: tuple[Argument, ...], *, constant: bool = False, base: str = "", first: int = 0
) -> list[str]:
    """A struct of pointers to the arrays of Q frames, read from a call or moved to frame q."""
    const, source = ("const ", "input") if constant else ("", "output")
    declared, read, moved = [], [], []
    for position, argument in enumerate(arguments, first):
        kind = _TYPES[argument.kind]
        size = " * ".join(["q", *(f"sizes.{_SIZES[letter]}" for letter in argument.dimensions)])
        declared.append(f"  {const}{kind}* {argument.name};  // {', '.join(['Q', *argument.dimensions])}")
        read.append(f"arrays.template {source}<{kind}>({position})")
        moved.append(f"{argument.name} + {size}")
    inherits = f" : {base}<Scalar>" if base else ""
    start_read = [f"{base}<Scalar>::read(arrays)"] if base else []
    start_moved = [f"{base}<Scalar>::from(q, sizes)"] if base else []
    return [
        "",
        "template <class Scalar>",
        f"struct {name}{inherits} {{",
        *declared,
        f"  static constexpr int COUNT = {first + len(arguments)};",
        "  template <class Arrays>",
        f"  static {name} read(const Arrays& arrays) {{",
        "    return {" + ", ".join([*start_read, *read]) + "};",
        "  }",
        f"  {name} from(long q, const Sizes& sizes) const {{",
        "    return {" + ", ".join([*start_moved, *moved]) + "};",
        "  }",
        "};",
    ]
