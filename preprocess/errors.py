"""The error of a job that was asked for correctly."""


class JobFailedError(RuntimeError):
    """The job was asked for correctly but could not be done."""
