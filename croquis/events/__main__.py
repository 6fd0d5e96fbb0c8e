"""Runs the consumer."""

from croquis.events.event_command import main

if __name__ == "__main__":
    main()
