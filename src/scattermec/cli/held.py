"""Outputs that no other process may write until a command ends; a module of its own, for fast imports."""

from contextlib import ExitStack

outputs = ExitStack()
"""Closed by `scattermec.cli.app` when a command ends in any way; filled by `checks.hold_output`."""
