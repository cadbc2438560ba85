"""`python -m webapp …` is `registry-credentials …`."""

import sys

from webapp.cli import main

sys.exit(main())
