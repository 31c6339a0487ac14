"""``python -m sottovoce``."""

import sys

from .cli.main import main

sys.exit(main())
