"""Documents as people get them: PDFs, the mails that carry them, and links that show them without signing in."""
