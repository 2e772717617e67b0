"""Many machines that share nothing but ssh: which they are, what runs on them, how they reach the store."""
