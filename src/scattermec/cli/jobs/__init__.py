"""What the commands do once their options are checked: imported after JAX has been set up, and not before."""
