"""Outputs that no other process may write until a command ends; apart, so that help waits for no more."""

from contextlib import ExitStack

outputs = ExitStack()
"""Closed by `scattermec.cli.app` when a command ends, however it does; filled by `checks.hold_output`."""
