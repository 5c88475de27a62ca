"""Given tokens, run on console and host: likelihoods, checks of a model, and every tensor on the way."""
