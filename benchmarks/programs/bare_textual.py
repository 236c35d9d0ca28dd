"""The least that a Textual program with a table of sixteen rows is: what the library itself takes."""

from textual.app import App, ComposeResult
from textual.widgets import DataTable

COLUMNS = ("worker", "state", "run", "queue", "tok/s", "ttft", "kv cache", "restarts", "gpu", "port")


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*COLUMNS)
        for number in range(16):
            table.add_row(f"w-{number}", "ready", "0", "0", "0", "—", "0%", "·", str(number), str(30000 + number))


if __name__ == "__main__":
    Bare().run()
