"""Scenarios that several tests run programs on."""

PINNED = """
schema: 1
machine: {arch: x86_64, kernel: linux-6.12, memory: 4G}
steps:
  - add: {driver: acpi, name: dimm0, size: 1G}
  - online: {range: dimm0, zone: movable}
  - allocate: {name: app, size: 1G, zone: movable, pinned: true}
"""
"""A DIMM in blocks 32-39, all of it pinned pages in Movable."""
