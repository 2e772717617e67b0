"""`python -m distcomp` is `distcomp`."""

from distcomp.cli.main import main

main()
