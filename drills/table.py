#!/usr/bin/env python3
"""Runs the drills and prints the tables of docs/drills.md: redial's medians of several runs, and one run of each other client.

    drills/table.py target/release/redial [--runs 3] [--peers ioredis,redis-rs,fred,rustis] [--drills power-off,kill] [--json FILE]
    drills/table.py target/release/redial --many [--runs 3] …            Sentinel, Cluster and the like: every client as often, side by side
    drills/table.py [--many] --from FILE     prints the tables of an earlier run again
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
MANY = [
    ("host-back-without-state", []),
    ("dns-switch", []),
    ("sentinel", []),
    ("sentinel-lies", []),
    ("cluster-power-off", []),
    ("cluster-failover", []),
    ("cluster-partition", []),
    ("cluster-reshard", []),
    ("storm", ["--variant", "restart"]),
    ("storm", ["--variant", "slow"]),
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


def median(values):
    """Of what came to pass in more than half of the runs; None if it did not."""
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    return ordered[len(ordered) // 2]


def each(reports, value):
    return "/".join(value(r) for r in reports)


MANY_COLUMNS = [*COLUMNS, "wrong_replies"]


def many_row(name, client, reports):
    """One drill of one client, as often as it was run."""
    if any("error" in r for r in reports):
        return [name, client, "–", *[""] * 7, each(reports, lambda r: r.get("error", "ran"))]
    if all(r["verdict"] == "unable" for r in reports):
        return [name, client, "not able", *[""] * 7, reports[0]["reasons"][0]]
    first = "–"
    if any(r["switches"] for r in reports):
        found = median([r["recovery_ms"] for r in reports])
        first = "never" if found is None else ms(found)
        first += " (" + ", ".join("never" if r["recovery_ms"] is None else ms(r["recovery_ms"]) for r in reports) + ")"
    others = "–"
    if reports[0].get("other_slots"):
        failed = each(reports, lambda r: str(r["other_slots"]["errors"]))
        others = f"{failed} · {ms(median([r['other_slots']['longest_stall_ms'] for r in reports]))}"
    passed = sum(r["verdict"] == "pass" for r in reports)
    counts = [each(reports, lambda r, c=c: str(r[c])) for c in MANY_COLUMNS]
    errors = each(reports, lambda r: str(r["errors"]["total"]))
    return [name, client, first, *counts, errors, others, f"{passed} of {len(reports)}"]


def many(runs):
    print("| drill | client | recovery: median (each run) | never settled | applied twice | failed but applied | acknowledged but lost | wrong replies | errors | other slots: errors · stall | pass |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, clients in runs.items():
        if not name.startswith("storm"):
            for client, reports in clients.items():
                print(f"| {' | '.join(many_row(name, client, reports))} |")
    storms = {name: clients for name, clients in runs.items() if name.startswith("storm")}
    if storms:
        print("\n| storm | client | all back after | connects a client | in the worst second | handshakes a client | in the worst second | errors | never settled | pass |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    for name, clients in storms.items():
        for client, reports in clients.items():
            done = [r for r in reports if r.get("storm")]
            if not done:
                print(f"| {name} | {client} | {reports[0].get('error', 'not able')} |" + " |" * 7)
                continue
            back = median([r["all_recovered_ms"] for r in done])
            cells = ["–" if not done[0]["switches"] else "never" if back is None else ms(back)]
            for field, form in [
                ("connects_per_client", "{:.2f}"),
                ("peak_connects_per_second", "{}"),
                ("handshakes_per_client", "{:.2f}"),
                ("peak_handshakes_per_second", "{}"),
            ]:
                cells.append(form.format(median([r["storm"][field] for r in done])))
            cells.append(each(done, lambda r: str(r["errors"]["total"])))
            cells.append(each(done, lambda r: str(r["never_settled"])))
            cells.append(f"{sum(r['verdict'] == 'pass' for r in done)} of {len(reports)}")
            print(f"| {name} | {client} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default="ioredis,redis-rs,fred,rustis")
    parser.add_argument("--drills", default="")
    parser.add_argument("--many", action="store_true")
    parser.add_argument("--json", default="")
    parser.add_argument("--from", dest="earlier", default="")
    options = parser.parse_args()
    if options.earlier:
        with open(options.earlier, encoding="utf-8") as file:
            return (many if options.many else tables)(json.load(file))
    wanted = [name for name in options.drills.split(",") if name]
    runs = {}
    for drill, extra in MANY if options.many else DRILLS:
        if wanted and drill not in wanted:
            continue
        clients = {"redial": [run(options.binary, drill, extra, "redial", "15") for _ in range(options.runs)]}
        for peer in filter(None, options.peers.split(",")):
            times = options.runs if options.many else 1
            clients[peer.rsplit("/", 1)[-1]] = [run(options.binary, drill, extra, peer, "15") for _ in range(times)]
        runs[title(drill, extra)] = clients
        print(title(drill, extra), "done", file=sys.stderr)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(runs, file)
    (many if options.many else tables)(runs)


if __name__ == "__main__":
    main()
