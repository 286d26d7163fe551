"""price-net, the recommended policy: a network sets the prices, optimal beams follow, users do the rest."""

SHIPPED = {
    "price-net": "Trained in the default scenario, each frame for itself",
    "price-net-foresight": "Trained in the default scenario, with a view to later frames",
    "price-net-varied": "Trained in many scenarios, for any number of users and antennas",
}
"""The policies that come with the package."""
