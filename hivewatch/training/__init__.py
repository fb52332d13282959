"""Training, export and evaluation of the network; never imported by the daemon."""
