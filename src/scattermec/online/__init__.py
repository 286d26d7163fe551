"""price-net on devices: bundles that need no JAX, exported by `scattermec.online.export`."""
