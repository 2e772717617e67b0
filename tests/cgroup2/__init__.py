"""In a kernel of its own, whose cgroups are of version 2."""
