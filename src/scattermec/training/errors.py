"""What ends a training run other than its user."""


class TrainingError(RuntimeError):
    """Learning that cannot go on: numbers that are not finite or beyond all bounds; one line."""
