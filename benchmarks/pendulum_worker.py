"""A worker that trains our DDPG on the pendulum, all seeds side by side, and evaluates each greedily."""

import dataclasses
import time
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.pendulum import STEPS, Pendulum
from benchmarks.processes import Desk
from scattermec.agents.networks import DTYPE
from scattermec.agents.settings import TrainingConfig, learning
from scattermec.learners import ddpg
from scattermec.scenario import Scenario


def main() -> None:
    """One training of all seeds."""
    desk = Desk()
    settings = desk.setup
    jax.config.update("jax_enable_x64", True)
    config = TrainingConfig(
        actor_layers=tuple(settings["actor_layers"]),
        critic_width=settings["critic_width"],
        hidden_activation="relu",
        actor_learning_rate=settings["learning_rate"],
        critic_learning_rate=settings["learning_rate"],
        batch_size=settings["batch_size"],
        buffer_size=settings["buffer_size"],
        discount=settings["discount"],
        smoothing=settings["smoothing"],
        exploration_probability=1.0,
        exploration_noise=settings["noise"],
    )
    h, pendulum = learning(config, Scenario()), Pendulum()
    # It acts at random until the first batch is full, as Stable-Baselines3 does.
    at_random = dataclasses.replace(h, exploration="uniform")

    @jax.jit
    def train(keys, first, times):
        state = jax.vmap(lambda key: ddpg.begin(h, pendulum, key))(keys)

        def one(state, time, how):
            state, _, _ = jax.vmap(lambda s: ddpg.advance(how, pendulum, s, time))(state)
            return state, None

        state, _ = jax.lax.scan(partial(one, how=at_random), state, first)
        return jax.lax.scan(partial(one, how=h), state, times)[0].agent.actor

    @jax.jit
    def evaluate(actors, starts):
        def episode(actor, start):
            def one(state, _):
                action = actor(pendulum.observe(state).astype(DTYPE))
                # The key only affects the next episode, which is not played.
                result = pendulum.step(jax.random.key(0), state, action)
                return result.state, result.reward

            return jnp.sum(jax.lax.scan(one, pendulum.start(*start), None, STEPS)[1])

        each = jax.vmap(episode, in_axes=(None, 0))
        return jnp.mean(jax.vmap(each, in_axes=(0, None))(actors, starts), axis=1)

    keys = jax.vmap(jax.random.key)(jnp.arange(settings["seeds"]))
    times = jnp.arange(settings["steps"])
    parts = times[: settings["batch_size"]], times[settings["batch_size"] :]
    run = train.lower(keys, *parts).compile()
    started = time.perf_counter()
    actors = jax.block_until_ready(run(keys, *parts))
    seconds = time.perf_counter() - started
    returns = evaluate(actors, jnp.array(settings["starts"]))
    desk.answer({"returns": returns.tolist(), "seconds": seconds})


if __name__ == "__main__":
    main()
