"""The claims of the paper, and the verdicts on them."""
