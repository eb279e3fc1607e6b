"""Whether calibrated thresholds keep what they promise, on real clips."""
