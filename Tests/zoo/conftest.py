"""The modules of this folder, and a torchvision that can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from torchvision_operators import define_missing

LIBRARY = define_missing()
