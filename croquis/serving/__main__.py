"""`python -m croquis.serving`."""

from croquis.serving.command import main

if __name__ == "__main__":
    main()
