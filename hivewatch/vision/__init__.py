"""From a frame to a decision: region, motion gate, network, localisation, votes."""
