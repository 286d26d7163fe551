"""A sweep on a Ray cluster of two nodes, one of which is killed in mid-sweep; a program of its own."""

import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from scattermec.engines import ray
from scattermec.experiments.sweep.running import Sweep
from scattermec.experiments.sweep.store import Store

plan_of, out = map(Path, sys.argv[1:])
plan = Store.open(plan_of).plan
store = Store.begin(out, plan, "")
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
doomed = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
reported: list[int] = []


def report(number: int) -> None:
    if not reported:
        cluster.remove_node(doomed, allow_graceful=False)
    reported.append(number)


ray.run(Sweep(plan, out), store.left(), report, address=cluster.address)
cluster.shutdown()
assert sorted(reported) == list(range(store.tasks.groups)), reported
