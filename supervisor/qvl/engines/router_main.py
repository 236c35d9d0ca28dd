"""Starts sglang-router in the interpreter that has it; a script, run by its path, that knows nothing of qvl.

Its own command would have the keys among its arguments, where everyone on the host reads them, and would call the
process `sglang::router`, which scripts that clean up after SGLang kill by name.
"""

import argparse
import json
import sys


def main() -> None:
    from sglang_router.router import Router
    from sglang_router.router_args import RouterArgs

    with open(sys.argv[1]) as file:
        keys = json.load(file)
    parser = argparse.ArgumentParser(prog="sglang-router", allow_abbrev=False)
    RouterArgs.add_cli_args(parser, use_router_prefix=False)
    args = RouterArgs.from_cli_args(parser.parse_args(sys.argv[2:]), use_router_prefix=False)
    args.api_key = keys["api_key"]
    args.control_plane_api_keys = [("qvl", "qvl", keys["control_key"], "admin")]
    getattr(args, "_validate_router_args", lambda: None)()
    Router.from_args(args).start()


if __name__ == "__main__":
    main()
