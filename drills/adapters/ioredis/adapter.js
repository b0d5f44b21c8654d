// Adapter of ioredis for `redial drill` (the protocol is docs/adapters.md).
//
// ioredis as its documentation presents it first: `new Redis(url)`, `new Redis({ sentinels, name })` for
// redis+sentinel://h1:p1,h2:p2/name, `new Redis.Cluster(nodes)` for redis+cluster://h1:p1,h2:p2; default
// options. Options that a run is to change come as JSON in IOREDIS_OPTIONS; name them with --client-label.
"use strict";

const readline = require("node:readline");
const Redis = require("ioredis");
const { version } = require("ioredis/package.json");

const url = process.env.REDIS_URL;
if (!url) {
  console.error("REDIS_URL is not set; this program is started by `redial drill --client ioredis`");
  process.exit(2);
}
const options = {
  connectionName: process.env.REDIAL_DRILL_NAME,
  ...JSON.parse(process.env.IOREDIS_OPTIONS || "{}"),
};

// Lines that became ready in one turn of the event loop go out in one write.
let pending = "";
function say(line) {
  if (pending === "") {
    setImmediate(() => {
      process.stdout.write(pending);
      pending = "";
    });
  }
  pending += line + "\n";
}

const oneLine = (text) => String(text).replace(/\s+/g, " ").trim();

function value(reply) {
  if (reply === null || reply === undefined) return "(nil)";
  if (Array.isArray(reply)) return `[${reply.length}]`;
  return oneLine(reply);
}

// ioredis says of no failed command whether it ran; an error reply of the server is the exception.
function failure(error) {
  if (error.name === "ReplyError") {
    const code = oneLine(error.message).split(" ", 1)[0];
    return `${code || "ReplyError"} answered ${oneLine(error.message)}`;
  }
  const kind = oneLine(error.code || error.name || "Error").replace(/ /g, "-");
  return `${kind} - ${oneLine(error.message)}`;
}

// ioredis has no URLs for Sentinels and clusters: they are taken apart here. Those of TLS name no
// authority: Node reads NODE_EXTRA_CA_CERTS.
function make() {
  const [, tls, kind, hosts, name] = /^redis(s?)\+(sentinel|cluster):\/\/([^/]+)\/?(.*)$/.exec(url) || [];
  if (!kind) return new Redis(url, options);
  const nodes = hosts.split(",").map((node) => {
    const [host, port] = node.split(":");
    return { host, port: Number(port) };
  });
  const secure = tls ? { tls: {} } : {};
  if (kind === "sentinel") {
    const sentinelTls = tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {};
    return new Redis({ sentinels: nodes, name, ...secure, ...sentinelTls, ...options });
  }
  return new Redis.Cluster(nodes, { redisOptions: { ...secure, ...options } });
}

function open() {
  const client = make();
  for (const state of ["wait", "connecting", "connect", "ready", "close", "reconnecting", "end"]) {
    client.on(state, () => say(`e ${state}`));
  }
  // Without a listener ioredis prints every connection error to standard error.
  client.on("error", (error) => say(`e error ${oneLine(error.message)}`));
  return client;
}

const clients = Array.from({ length: Number(process.env.REDIAL_DRILL_CLIENTS) || 1 }, open);
let subscriber;
let blocking;
say(`ready ioredis ${version}`);

// Its documentation wants a connection of its own for commands that block.
const BLOCKS = new Set(["BLPOP", "BRPOP", "BLMOVE", "BZPOPMIN", "BZPOPMAX", "BLMPOP", "BZMPOP"]);

function run(id, command, args) {
  let on = clients[id % clients.length];
  if (BLOCKS.has(command.toUpperCase())) {
    blocking ??= open();
    on = blocking;
  }
  on.call(command, ...args).then(
    (reply) => say(`r ${id} ok ${value(reply)}`),
    (error) => say(`r ${id} err ${failure(error)}`),
  );
}

function subscribe(channel) {
  if (!subscriber) {
    subscriber = open();
    subscriber.on("message", (from, payload) => say(`m ${from} ${oneLine(payload)}`));
  }
  subscriber.subscribe(channel).catch((error) => say(`e error ${oneLine(error.message)}`));
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", (line) => {
  const [word, ...fields] = line.split(" ");
  if (word === "c" && fields.length >= 2) {
    run(fields[0], fields[1], fields.slice(2));
  } else if (word === "u" && fields.length === 3) {
    run(fields[0], "SET", [fields[1], Buffer.alloc(Number(fields[2]), "x")]);
  } else if (word === "s" && fields.length === 1) {
    subscribe(fields[0]);
  } else if (word === "q") {
    process.exit(0);
  }
});
lines.on("close", () => process.exit(0));
process.stdout.on("error", () => process.exit(0));
