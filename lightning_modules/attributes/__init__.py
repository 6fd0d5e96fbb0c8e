"""The multi-label attribute classifier: labels, module, calibration, report."""
