"""`python -m lab` is `trident-lab`."""

import sys

from lab.cli import main

sys.exit(main())
