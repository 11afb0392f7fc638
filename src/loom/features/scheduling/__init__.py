"""Scheduling: what coaches offer, when they can be booked, sessions, who takes part, and invitations."""
