"""``python -m paper COMMAND``, from a copy of srnn's source."""

import sys
from importlib.util import find_spec

if find_spec("srnn") is None:
    print(
        "paper: srnn is not installed in this Python: pip install -e . in the folder of its source",
        file=sys.stderr,
    )
    sys.exit(2)

from .commands import main

sys.exit(main())
