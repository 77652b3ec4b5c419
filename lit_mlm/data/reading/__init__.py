"""Text from files and the Hub."""
