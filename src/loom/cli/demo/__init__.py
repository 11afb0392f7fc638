"""The sample practice that the demo starts with, and the story that `--check` plays on it."""
