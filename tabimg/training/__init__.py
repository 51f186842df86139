"""How a module is fitted: batches by index array, schedules, callbacks, checkpoints, precision."""
