"""Updates of MADDPG beside the same written out agent by agent, with optax.adam on every array."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from scattermec.agents import maddpg
from scattermec.agents.replay import Transition
from scattermec.agents.settings import TrainingConfig, learning
from scattermec.scenario import Scenario

AGENTS, BATCH, OBSERVED, NUMBERS = 3, 8, 5, 3
CONFIG = TrainingConfig(
    actor_layers=(7, 6),
    critic_width=9,
    batch_size=BATCH,
    actor_learning_rate=2e-3,
    critic_learning_rate=5e-3,
    smoothing=0.3,
    discount=0.7,
)


def act(actor, seen):
    """An actor of Table I as matrix products."""
    for layer in actor.layers:
        seen = jax.nn.sigmoid(seen @ layer.weight.T + layer.bias)
    return seen


def value(critic, seen, action):
    """A critic of Table I as matrix products."""
    hidden = seen @ critic.state_layer.weight.T + critic.state_layer.bias
    hidden = hidden + action @ critic.action_layer.weight.T + critic.action_layer.bias
    return jnp.maximum(hidden, 0) @ critic.output_layer.weight[0] + critic.output_layer.bias[0]


ADAMS = optax.adam(CONFIG.actor_learning_rate), optax.adam(CONFIG.critic_learning_rate)


def reference_of(agents):
    """A team whose agents are updated one after the other; a team of one is DDPG."""
    actors, critics = [agent.actor for agent in agents], [agent.critic for agent in agents]
    return {
        "actors": actors,
        "critics": critics,
        "target_actors": actors,
        "target_critics": critics,
        "actor_states": [ADAMS[0].init(actor) for actor in actors],
        "critic_states": [ADAMS[1].init(critic) for critic in critics],
    }


@jax.jit
def updated(team, batch):
    """The team after one step of each critic, actor and target; ``batch`` has an axis of agents."""
    weight = batch.valid / jnp.sum(batch.valid)
    everyone = batch.observation.reshape(BATCH, -1)
    everyone_next = batch.next_observation.reshape(BATCH, -1)
    next_actions = [act(actor, batch.next_observation[:, i]) for i, actor in enumerate(team["target_actors"])]
    stored = [batch.action[:, j] for j in range(len(team["actors"]))]
    team = {name: list(part) for name, part in team.items()}
    for i in range(len(stored)):
        following = value(team["target_critics"][i], everyone_next, jnp.concatenate(next_actions, axis=1))
        target = batch.reward[:, i] + CONFIG.discount * (1 - batch.terminated) * following

        def loss(critic, target=target):
            error = value(critic, everyone, jnp.concatenate(stored, axis=1)) - target
            return jnp.sum(weight * error**2)

        stepped(team, "critic", i, loss)

        def cost(actor, i=i):
            joint = [*stored[:i], act(actor, batch.observation[:, i]), *stored[i + 1 :]]
            return -jnp.sum(weight * value(team["critics"][i], everyone, jnp.concatenate(joint, axis=1)))

        stepped(team, "actor", i, cost)
    for name in ("actors", "critics"):
        team[f"target_{name}"] = jax.tree.map(
            lambda old, new: (1 - CONFIG.smoothing) * old + CONFIG.smoothing * new,
            team[f"target_{name}"],
            team[name],
        )
    return team


def stepped(team, kind, i, cost):
    """Let one network of the team take a step."""
    networks, states = team[f"{kind}s"], team[f"{kind}_states"]
    optimiser = ADAMS[("actor", "critic").index(kind)]
    change, states[i] = optimiser.update(jax.grad(cost)(networks[i]), states[i])
    networks[i] = optax.apply_updates(networks[i], change)


def batch_of(num_agents, seed):
    """Random transitions of a team, of which some have terminated and some must not be learned from."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return jnp.asarray(rng.random((BATCH, *shape)), jnp.float32)

    return Transition(
        observation=drawn(num_agents, OBSERVED),
        action=drawn(num_agents, NUMBERS),
        reward=drawn(num_agents),
        next_observation=drawn(num_agents, OBSERVED),
        terminated=jnp.asarray(np.arange(BATCH) % 3 == 0, jnp.float32),
        valid=jnp.asarray(np.arange(BATCH) % 4 != 1, jnp.float32),
    )


def test_updates_are_those_of_optax_agent_by_agent():
    h = learning(CONFIG, Scenario())
    team = maddpg.new_team(jax.random.key(0), AGENTS, OBSERVED, NUMBERS, h)
    update = jax.jit(maddpg.update)
    reference = reference_of([jax.tree.map(lambda leaf, i=i: leaf[i], team) for i in range(AGENTS)])
    for seed in range(4):
        batch = batch_of(AGENTS, seed)
        reference = updated(reference, batch)
        team, _ = update(team, batch, h)
    for name in ("actor", "critic", "target_actor", "target_critic"):
        wanted = jax.tree.map(lambda *leaves: jnp.stack(leaves), *reference[f"{name}s"])
        for a, b in zip(jax.tree.leaves(getattr(team, name)), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
