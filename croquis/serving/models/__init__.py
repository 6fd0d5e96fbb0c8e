"""The models that a server holds: where they come from, how they are loaded, swapped and batched. No HTTP."""
