"""Calendars: private feeds, invitations that keep themselves up to date, and links that act without an account."""
