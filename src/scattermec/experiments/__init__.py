"""Experiments, in wings that import strictly downwards.

`report` shows what `studies` computed, which `evaluate` policies, judge `claims` and `measure`. `reproduce`
runs the studies, then writes the report.
"""
