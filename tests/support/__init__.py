"""What tests share: real servers, waiting for conditions, makers of values."""
