"""The network, its losses, batch norm folding and quantisation."""
