"""Conversations between a coach and clients, and whether each message reached each person.

Owns everything from `conversations` to `push_subscriptions`. Who may write to whom, numbering, repetition and the
planning of deliveries are in SQL; here are the routes, and the worker that carries deliveries out.
"""
