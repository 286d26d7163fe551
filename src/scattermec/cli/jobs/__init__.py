"""The work of the commands, after their options are checked: imported only after JAX has been set up."""
