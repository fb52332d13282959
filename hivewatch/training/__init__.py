"""Training, evaluation and export of the network; never imported by the daemon."""
