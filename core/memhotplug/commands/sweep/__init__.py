"""Sweeping: thousands of variants of a scenario, kept in a file, resumable.

``question`` says which cases there are, ``play`` plays one, ``workers`` spreads them over processes or a cluster,
``store`` keeps what came of them, ``answer`` puts these together; ``export`` and ``summary`` read a store.
"""
