"""Runs the consumer."""

from serving.ingest.command import main

if __name__ == "__main__":
    main()
