"""Sweeps: a plan of many scenarios, trainings and seeds, computed in groups on any engine, and merged.

`plan` reads and checks the file, `tasks` numbers what follows from it, `jobs` computes groups of tasks,
`store` keeps one Parquet file per group, `running` puts them together.
"""
