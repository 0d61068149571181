"""A finished study as one zip file that can be cited, checked and run again."""
