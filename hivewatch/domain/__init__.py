"""The frozen values that stages pass to each other."""
