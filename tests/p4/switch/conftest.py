"""What the tests of the front end share with those of the switch."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
