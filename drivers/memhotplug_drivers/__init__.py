"""The callers of add_memory(): one module a driver."""
