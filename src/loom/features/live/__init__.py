"""Live updates: one stream of server-sent events for each client, from every process, resumable from any place.

Owns `live_events`. What an event says, and to whom, is SQL; here one reader per process follows the log and hands each
event to the open streams of the people whom the database named.
"""
