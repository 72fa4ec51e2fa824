"""Runtime: device and precision, the loop, checkpoints, trackers."""
