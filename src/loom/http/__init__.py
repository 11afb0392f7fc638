"""Request pieces that every feature's routes share: scopes, pages, input models, problems."""
