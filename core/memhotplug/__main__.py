"""``python -m memhotplug`` is ``mhp``."""

import sys

from memhotplug.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
