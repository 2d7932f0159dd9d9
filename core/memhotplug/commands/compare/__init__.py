"""Comparing: one scenario under several policies, kernels or architectures, side by side.

``vary`` makes the variations, ``measure`` says what is read off a machine, ``granularity`` what can be taken
out of it again, ``compared`` runs them, ``show`` prints.
"""
