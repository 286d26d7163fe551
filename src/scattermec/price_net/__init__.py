"""price-net, the recommended policy: a network sets the prices, optimal beams follow, users do the rest."""
