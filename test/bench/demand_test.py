"""What ./bench --demand and its relays call missed: each figure that is just too bad, or not there."""
import contextlib
import copy
import importlib.machinery
import importlib.util
import io
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.stem, loader))
    loader.exec_module(module)
    return module


bench, relay = load(HERE.parent.parent / "bench"), load(HERE / "relay.py")

# Each just as good as is asked for.
SUMMARY = {
    "rows": {row: {"ratio": ratio} for row, ratio in bench.RATIOS.items()},
    "others": {"memory": {"sipw": [400, 400, 1000]},
               **{f"load90 {row}": {"sipw": [{"at90": {"success": 0.999}}]} for row in bench.LOAD_ROWS},
               **{f"endurance {row}": {"sipw": [{"old": [10.5, 21, 1], "young": [10, 20, 1]}]}
                  for row in bench.ENDURANCE_ROWS}}}
RELAYS = {"forwarding": {"pps": 800000, "cost": 1.0, "is_sender": True},
          "kernel": {"pps": 500000, "cost": 1.1, "is_sender": False},
          "process": {"pps": 130000, "cost": 5.0, "is_sender": False},
          "rtpengine": {"pps": 100000, "cost": 8.0, "is_sender": False}}
# Where it stands, and what is just too bad.
BAD = [(("rows", row, "ratio"), ratio - 0.01) for row, ratio in bench.RATIOS.items()]
BAD += [(("others", "memory", "sipw"), [401]), (("others", "memory"), {})]
BAD += [(("others", f"load90 {row}", "sipw", 0, "at90", "success"), 0.9989) for row in bench.LOAD_ROWS]
BAD += [(("others", f"endurance {row}", "sipw", 0, "old"), [10.6, 21.2, 1]) for row in bench.ENDURANCE_ROWS]
BAD += [(("rows", "call"), {"ratio": None})]
BAD_RELAYS = [(("kernel", "pps"), 499000), (("kernel", "cost"), 1.11), (("process", "pps"), 129000)]


def changed(figures, path, value):
    figures = copy.deepcopy(figures)
    inner = figures
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return figures


def missed(summary, rows=tuple(bench.ROWS)):
    return bench.print_demands(bench.demands(rows, summary))


def main():
    cases = [("all is met", missed(SUMMARY), 0),
             ("a row not asked for", missed(changed(SUMMARY, ("rows", "call", "ratio"), 1), ["message"]), 0),
             ("a part alone", missed({"rows": {}, "others": SUMMARY["others"]}, ["load90/call"]), 0),
             ("all is missing", missed({"rows": {}, "others": {}}), len(bench.RATIOS) + 6)]
    cases += [(f"{path} is {value}", missed(changed(SUMMARY, path, value)), 1) for path, value in BAD]
    cases += [("relays: all is met", relay.show_demands(RELAYS), 0),
              ("relays: no rtpengine", relay.show_demands({k: RELAYS[k] for k in ("forwarding", "kernel")}), 2),
              ("relays: the sender ends rtpengine",
               relay.show_demands(changed(RELAYS, ("rtpengine", "is_sender"), True)), 2),
              ("relays: the sender ends the kernel, which costs a seventh", relay.show_demands(
                  changed(RELAYS, ("kernel",), {"pps": 400000, "cost": 1.1, "is_sender": True})), 0)]
    cases += [(f"relays: {path} is {value}", relay.show_demands(changed(RELAYS, path, value)), 1)
              for path, value in BAD_RELAYS]
    return [f"{name}: {found} missed, not {wanted}" for name, found, wanted in cases if found != wanted]


with contextlib.redirect_stdout(io.StringIO()) as said:
    wrong = main()
print(*wrong or [f"{said.getvalue().count('MISSED')} figures were missed as they should"], sep="\n")
sys.exit(1 if wrong else 0)
