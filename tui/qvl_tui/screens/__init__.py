"""What fills the terminal: each screen arranges widgets and turns keys into wishes. None talks to the daemon."""
