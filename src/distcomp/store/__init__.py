"""The store: where all state is, how it is reached, and the server that distcomp runs when none is named."""
