"""A driver that cannot be imported."""

raise RuntimeError("the sled is on fire")
