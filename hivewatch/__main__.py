"""``python -m hivewatch`` is ``hivewatch``."""

import sys

from hivewatch.cli.main import main

sys.exit(main())
