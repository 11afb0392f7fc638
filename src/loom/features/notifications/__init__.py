"""What people are told in Loom, and on which channels they want to hear of what.

Owns `notifications` and `notification_preferences`. Other parts tell people things with `private.notify`.
"""
