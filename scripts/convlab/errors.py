"""The one exception whose message is meant for the user."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence that names the key, file or value, and what to do."""
