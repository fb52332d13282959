"""Measurements of every stage on this machine."""
