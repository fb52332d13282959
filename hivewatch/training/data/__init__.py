"""Training data: catalogue, corrections, crops and sampling."""
