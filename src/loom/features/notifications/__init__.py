"""Notifications in the app and each person's preferences."""
