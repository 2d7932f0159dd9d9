"""Who may host its own memmap: every answer comes from the plugins, there is no table of answers here."""
