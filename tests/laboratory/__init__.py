"""The test laboratory: random guest code on the recompiler and on Unicorn, compared bit for bit."""
