"""The simulator's drawings: a hive entrance, its bees and hornets, and how they move."""
