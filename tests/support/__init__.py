"""Helpers of the tests: brokers, daemons, faulty disks and clocks, real Debian systems."""
