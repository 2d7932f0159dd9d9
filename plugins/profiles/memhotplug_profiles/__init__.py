"""Kernel profiles: the memory hotplug semantics of particular kernels."""
