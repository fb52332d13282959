"""The network, its losses and its quantised form."""
