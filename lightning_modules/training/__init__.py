"""Fitting: trainer, callbacks, schedules, precision, processes. Nothing of any one method."""
