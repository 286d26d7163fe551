"""Experiments, in packages that import strictly downwards.

`report` shows the results of `studies`, which build on `evaluate`, `claims` and `measure`. `reproduce` runs
the studies, then writes the report.
"""
