"""mm/memory_hotplug.c: adding, onlining, offlining and removing memory, one file for each."""
