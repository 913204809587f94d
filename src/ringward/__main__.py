"""`python -m ringward`."""

from ringward.cli import main

main()
