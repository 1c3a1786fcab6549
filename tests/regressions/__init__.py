"""What once went wrong."""
