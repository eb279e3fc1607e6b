"""`python -m streamfilter`."""

from streamfilter.cli import main

main(prog_name="streamfilter")
