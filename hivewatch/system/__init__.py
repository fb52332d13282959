"""The machine underneath: clock, signals, systemd, sensors, stopwatch."""
