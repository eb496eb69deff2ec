"""``python -m srnn`` is ``srnn``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
