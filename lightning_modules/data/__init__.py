"""Data modules, samplers, augmentation, pools of negatives. No nets."""
