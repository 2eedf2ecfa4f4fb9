"""Tools of an execution: the CLI's own, as requests and grants name them, and those of callers."""
