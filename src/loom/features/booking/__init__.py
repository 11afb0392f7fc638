"""What comes before and after a session: its terms, holds, requests, series, and what is owed in the end."""
