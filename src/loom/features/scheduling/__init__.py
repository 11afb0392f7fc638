"""Session templates, free slots, sessions, attendees and their attendance."""
