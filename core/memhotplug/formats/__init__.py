"""File formats that mhp reads: scenarios, snapshots, recordings."""
