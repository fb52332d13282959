"""A simulated hive entrance: its scenery, its bees and hornets, and how they move.

The rest of hivewatch imports ``camera`` and ``insects`` from here and nothing else.
"""
