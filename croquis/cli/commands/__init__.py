"""The sub-commands of `croquis`, one module each: a plain function that does the work, and the Click command over it."""
