"""The coach's practice: clients, availability, notes, reflections."""
