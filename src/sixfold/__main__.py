"""`python -m sixfold`."""

import sys

from sixfold.cli import main

if __name__ == "__main__":
    sys.exit(main())
