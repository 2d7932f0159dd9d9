"""Mainline Linux since memmap-on-memory was merged (5.13), and what differs between releases.

Everything that the releases share is written once; a release is a :class:`Rules` record.
"""
