#!/usr/bin/env python3
"""Counts what exactly-once and durable writes keep, and prints the tables of docs/drills.md.

    drills/guarantees.py target/release/redial [--runs 20] [--json FILE]
    drills/guarantees.py --from FILE          prints the tables of an earlier run again
"""

import argparse
import json
import os
import statistics
import subprocess

DRILLS = ["power-off", "hang", "kill", "replies-lost"]
LAGGING = ["--rtt", "20ms", "--replication-delay", "500ms"]


def run(binary, drill, options, sent):
    command = [binary, "drill", drill, "--json", "--seconds", "8", *options]
    environment = {**os.environ, "REDIAL_OPTIONS": sent}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout)


def measure(binary, runs):
    every = []
    for n in range(runs):
        for drill in DRILLS:
            for sent in ["once", "once,durable=1"]:
                every.append({"table": "once", "sent": sent, **run(binary, drill, [], sent)})
        if n < 3:
            for sent in ["", "durable=1"]:
                every.append({"table": "durable", "sent": sent, **run(binary, "power-off", LAGGING, sent)})
    return every


def once_table(every):
    print("| drill | sent with | runs | INCRs acknowledged | told Ran | told Unknown | counted | beyond what was told | acknowledged and missing |")
    print("|---|---|---|---|---|---|---|---|---|")
    for drill in DRILLS:
        for sent, name in [("once", "`once`"), ("once,durable=1", "`once` and `durable(1)`")]:
            reports = [r for r in every if r["table"] == "once" and (r["drill"], r["sent"]) == (drill, sent)]
            if not reports:
                continue
            total = {key: sum(r["increments"][key] for r in reports) for key in reports[0]["increments"]}
            most = [r["increments"]["acknowledged"] + r["increments"]["ran"] + r["increments"]["may_have_run"] for r in reports]
            beyond = sum(max(0, r["increments"]["counted"] - m) for r, m in zip(reports, most))
            missing = sum(max(0, r["increments"]["acknowledged"] - r["increments"]["counted"]) for r in reports)
            beyond = max(beyond, sum(r["applied_twice"] + r["failed_but_applied"] for r in reports))
            missing = max(missing, sum(r["acked_but_lost"] for r in reports))
            print(
                f"| {drill} | {name} | {len(reports)} | {total['acknowledged']} | {total['ran']} | {total['may_have_run']} "
                f"| {total['counted']} | {beyond} | {missing} |"
            )


def durable_table(every):
    print("| sent | acknowledged writes lost, each run | a GET, median | a write, median |")
    print("|---|---|---|---|")
    for sent, name in [("", "as usual"), ("durable=1", "`durable(1)`")]:
        reports = [r for r in every if r["table"] == "durable" and r["sent"] == sent]
        if not reports:
            continue
        lost = ", ".join(str(r["acked_but_lost"]) for r in reports)
        read = statistics.median(r["median_read_ms"] for r in reports)
        write = statistics.median(r["median_write_ms"] for r in reports)
        print(f"| {name} | {lost} | {read:.1f} ms | {write:.0f} ms |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json")
    parser.add_argument("--from", dest="source")
    options = parser.parse_args()
    if options.source:
        every = json.load(open(options.source))
    else:
        every = measure(options.binary, options.runs)
    if options.json:
        json.dump(every, open(options.json, "w"))
    once_table(every)
    print()
    durable_table(every)


if __name__ == "__main__":
    main()
