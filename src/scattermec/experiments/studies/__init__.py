"""The studies of a reproduction, one file each.

Nothing is imported here, so that the command can name the studies before JAX is set up.
"""

ASKED_BY: dict[str, tuple[str, ...]] = {
    "figure_2": ("2a", "2b"),
    "price_nets": ("2a", "2b"),
    "sweeps": ("3a", "3b", "4a", "4b", "beams"),
    "frame": ("frame",),
    "learned": ("learned",),
    "named": ("named",),
    "ranges": ("ranges",),
    "knowledge": ("knowledge",),
    "robustness": ("knowledge",),
}
"""The module of each study, in the order in which they run, and the names that request it."""

NAMES = tuple(dict.fromkeys(name for names in ASKED_BY.values() for name in names))
"""Everything that a reproduction can be asked for."""
