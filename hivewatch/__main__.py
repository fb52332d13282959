"""``python -m hivewatch`` is ``hivewatch``."""

import sys

from hivewatch.cli import main

sys.exit(main())
