"""The configuration: what can be set, and how the YAML file is read."""
