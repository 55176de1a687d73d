"""Run the command line as ``python -m gradaudit``."""

from gradaudit.cli import main

if __name__ == "__main__":
    main()
