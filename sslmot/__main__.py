"""``python -m sslmot``."""

from sslmot.cli import main

main()
