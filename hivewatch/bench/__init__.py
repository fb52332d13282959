"""Benchmarks of every stage on this machine."""
