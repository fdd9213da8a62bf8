"""Parts that the commands of this folder share.

They build other implementations, and scenes, as the tests do, so the folder of the tests is on the path.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]

sys.path[:0] = [str(TREE), str(TREE / "test")]
