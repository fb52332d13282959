"""The daemon: one loop over frames, and the services that run on it."""
