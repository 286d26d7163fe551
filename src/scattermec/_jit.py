"""`jax.jit` for the functions that are also called by themselves, outside any program."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax

_Function = TypeVar("_Function", bound=Callable[..., Any])


def one_program(*static: str) -> Callable[[_Function], _Function]:
    """Make a function one program when it is called by itself, rather than one for each of its operations.

    Compiling those would take many seconds. Within jit it makes no difference. ``static`` are the names of
    arguments that shape the program. The type checker sees the function itself, unlike with `jax.jit`.
    """
    return partial(jax.jit, static_argnames=static)  # type: ignore[return-value]
