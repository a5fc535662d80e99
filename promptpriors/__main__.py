"""``python -m promptpriors``: the command line, as launchers of several processes start it."""

from promptpriors.cli import main

if __name__ == "__main__":
    main()
