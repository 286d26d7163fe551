"""The parts that learners are made of: configuration, networks, replay, exploration, DDPG and MADDPG."""
