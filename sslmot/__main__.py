"""Run the command line tool with ``python -m sslmot``."""

from sslmot.cli import main

main()
