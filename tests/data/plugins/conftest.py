"""The packages here are tested where they are installed, not collected with the project's own tests."""

collect_ignore_glob = ["*"]
