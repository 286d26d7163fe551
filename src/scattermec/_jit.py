"""`jax.jit` for the functions that are also called by themselves, outside any program."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

_Function = TypeVar("_Function", bound=Callable[..., Any])


def one_program(*static: str) -> Callable[[_Function], _Function]:
    """Make a function one program when it is called by itself, rather than one for each of its operations.

    Compiling those would take many seconds. ``static`` are the names of arguments that shape the program.
    Within a transformation the function itself is called: a trace that `jax.jit` remembers would not notice
    that the kernel has been switched off.
    """

    def decorate(function: _Function) -> _Function:
        jitted = jax.jit(function, static_argnames=static)

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            leaves = jax.tree.leaves((arguments, named))
            traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
            return (function if traced else jitted)(*arguments, **named)

        return call  # type: ignore[return-value]

    return decorate
