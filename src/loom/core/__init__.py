"""What every layer may use and what uses nothing of Loom: errors, settings, clock, money."""
