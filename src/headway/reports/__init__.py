"""Result to Markdown; pure."""
