#!/usr/bin/env python3
"""Runs the drills and prints the tables of docs/drills.md: redial's medians of several runs, and one run of each other client.

    drills/table.py target/release/redial [--runs 3] [--peers ioredis,redis-rs,fred,rustis] [--drills power-off,kill] [--json FILE]
    drills/table.py --from FILE          prints the tables of an earlier run again
"""

import argparse
import json
import statistics
import subprocess
import sys

DRILLS = [
    ("planned", []),
    ("power-off", []),
    ("kill", []),
    ("demotion", []),
    ("hang", []),
    ("hang-and-wake", []),
    ("partition", []),
    ("slow", ["--variant", "sleep"]),
    ("slow", ["--variant", "pause-write"]),
    ("slow", ["--variant", "script"]),
    ("slow", ["--variant", "upload", "--rtt", "20ms"]),
    ("replies-lost", []),
    ("half-dead-dial", []),
]
COLUMNS = ["never_settled", "applied_twice", "failed_but_applied", "acked_but_lost"]


def title(drill, options):
    return drill + (f" ({options[1]})" if options else "")


def run(binary, drill, options, client, seconds):
    command = [binary, "drill", drill, "--client", client, "--json", "--seconds", seconds, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": f"exit status {done.returncode}"}


def ms(value):
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def recovery(report):
    if report["drill"] == "slow":
        return "–"
    return "never" if report["recovery_ms"] is None else ms(report["recovery_ms"])


def of(report):
    errors = report["errors"]
    unknown = errors.get("by_delivery", {}).get("may have run", 0)
    shown = str(errors["total"]) if errors["total"] == unknown else f"{errors['total']} ({unknown} may have run)"
    return [recovery(report), *[str(report[c]) for c in COLUMNS], shown, str(report["connections_lost"])]


def tables(runs):
    print("| drill | recovery: median (each run) | never settled | applied twice | failed but applied | acknowledged but lost | errors | connections lost | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, clients in runs.items():
        reports = [r for r in clients["redial"] if "error" not in r]
        times = [r["recovery_ms"] for r in reports if r["recovery_ms"] is not None]
        each = ", ".join(ms(t) for t in times)
        median = f"{ms(statistics.median(times))} ({each})" if times else recovery(reports[0])
        worst = ["/".join(sorted({str(r[c]) for r in reports})) for c in COLUMNS]
        errors = "/".join(of(r)[5] for r in reports)
        lost = "/".join(sorted({str(r["connections_lost"]) for r in reports}))
        passed = sum(r["verdict"] == "pass" for r in reports)
        print(f"| {name} | {median} | {' | '.join(worst)} | {errors} | {lost} | {passed} of {len(clients['redial'])} pass |")
    for client in sorted({c for clients in runs.values() for c in clients if c != "redial"}):
        print(f"\n{client}:\n")
        print("| drill | recovery | never settled | applied twice | failed but applied | acknowledged but lost | errors | connections lost |")
        print("|---|---|---|---|---|---|---|---|")
        for name, clients in runs.items():
            report = clients.get(client, [{"error": "not run"}])[0]
            cells = [report["error"]] + [""] * 6 if "error" in report else of(report)
            print(f"| {name} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default="ioredis,redis-rs,fred,rustis")
    parser.add_argument("--drills", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--from", dest="earlier", default="")
    options = parser.parse_args()
    if options.earlier:
        with open(options.earlier, encoding="utf-8") as file:
            return tables(json.load(file))
    wanted = [name for name in options.drills.split(",") if name]
    runs = {}
    for drill, extra in DRILLS:
        if wanted and drill not in wanted:
            continue
        clients = {"redial": [run(options.binary, drill, extra, "redial", "15") for _ in range(options.runs)]}
        for peer in filter(None, options.peers.split(",")):
            clients[peer.rsplit("/", 1)[-1]] = [run(options.binary, drill, extra, peer, "15")]
        runs[title(drill, extra)] = clients
        print(title(drill, extra), "done", file=sys.stderr)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(runs, file)
    tables(runs)


if __name__ == "__main__":
    main()
