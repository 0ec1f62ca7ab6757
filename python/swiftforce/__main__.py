"""``python -m swiftforce``."""

import sys

from swiftforce.cli import main

sys.exit(main())
