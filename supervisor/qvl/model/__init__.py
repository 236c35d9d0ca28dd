"""The nouns of qvl: frozen structs that hold data and decide nothing. They are also the wire and the state on disk."""
