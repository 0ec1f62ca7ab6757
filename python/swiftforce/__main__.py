"""``python -m swiftforce``."""

import sys

try:
    from swiftforce.cli import main

    status = main()
except KeyboardInterrupt:  # before the command began
    status = 130
sys.exit(status)
