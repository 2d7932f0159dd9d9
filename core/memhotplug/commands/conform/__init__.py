"""Conformance: recordings of real kernels, replayed step by step and compared."""
