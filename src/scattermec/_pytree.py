"""Frozen dataclasses that JAX treats as pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

_T = TypeVar("_T")


def static(**kwargs: Any) -> Any:
    """Mark a field as part of the pytree's structure: hashable, not traced; changing it recompiles."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static,))
def pytree(cls: type[_T]) -> type[_T]:
    """Make ``cls`` a frozen, keyword-only dataclass whose fields are pytree leaves unless `static`."""
    data_class = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(data_class)  # type: ignore[arg-type]
    jax.tree_util.register_dataclass(
        data_class,
        data_fields=[f.name for f in fields if not f.metadata.get("static")],
        meta_fields=[f.name for f in fields if f.metadata.get("static")],
    )
    return data_class
