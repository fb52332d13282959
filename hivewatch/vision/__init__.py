"""From a frame to a sighting: region, motion gate, network, localisation, votes."""
