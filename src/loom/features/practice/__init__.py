"""The coach's own business: the practice and its settings, clients, weekly hours, notes, and clients' reflections.

Owns `practices`, `practice_members`, `coach_clients`, `coach_availability`, `coach_notes` and `reflections`. Issues the
job `practice.send_client_invitation`.
"""
