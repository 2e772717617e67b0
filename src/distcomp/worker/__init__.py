"""The worker: one per node. Claims tasks, runs them, watches memory, reports. Knows no other worker."""
