"""The command `cleave`: becomes the program of this package."""
import os
import sys

from .program import binary, environment


def main() -> None:
    program = binary()
    os.execve(program, [program, *sys.argv[1:]], environment())


if __name__ == "__main__":
    main()
