"""The hotplug engine: one file for each thing that the kernel does with memory blocks."""
