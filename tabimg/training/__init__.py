"""How modules are fitted: batches by index array, schedules, callbacks, checkpoints, precision."""
