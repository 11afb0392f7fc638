"""Background work: the job queue in schema jobs and the worker that drains it."""
