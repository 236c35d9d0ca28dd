"""What is drawn. Each module has a pure function from the store to lines, and a Canvas that shows them."""
