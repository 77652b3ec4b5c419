"""Reads text from files and the Hub."""
