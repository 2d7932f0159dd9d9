"""What all commands print and write alike."""
