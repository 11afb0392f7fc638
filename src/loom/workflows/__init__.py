"""What touches two features at once."""
