"""`python -m serving`."""

from serving.command import main

if __name__ == "__main__":
    main()
