/**
 * Checks a network: a server listens on the primary's host, a client and edge A connect to it, links are cut and
 * repaired. It prints the results. It is a program of its own, because network namespaces need a process that runs in
 * one.
 */
import * as Bun from "bun";
import { connect, type Socket } from "node:net";
import { must } from "../../src/util/assert.ts";
import { inNamespace, isInside, openNamespaces } from "./namespaces.ts";
import { hosts, type Network, type Side } from "./network.ts";
import { openProxies } from "./proxies.ts";

/** Sends back all received bytes. */
const echo = `require("node:net").createServer((s) => s.on("error", () => 0).pipe(s)).listen(+process.argv[1], process.argv[2])`;

/** Exits with status 0 once it is connected, with 1 if it is not in time. */
const knock = `require("node:net").connect(+process.argv[1], process.argv[2], () => process.exit(0)); setTimeout(() => process.exit(1), +process.argv[3])`;

/** Far more than an echo or a connection needs. */
const answerMsMax = 30_000;
/** A link that is cut passes nothing for at least this time. */
const silenceMs = 300;

interface Line {
  send(): void;
  /** Whether all echoes have arrived. */
  readonly isAnswered: boolean;
  close(): void;
}

async function open(address: string): Promise<Line> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const socket = await connected(hostname, Number(port));
  let received = "";
  socket.on("data", (bytes) => (received += bytes.toString()));
  let sent = "";
  return {
    send() {
      const word = `${sent.length};`;
      sent += word;
      socket.write(word);
    },
    get isAnswered() {
      return received === sent;
    },
    close: () => socket.destroy(),
  };
}

/** Retries until there is a listener. */
async function connected(host: string, port: number): Promise<Socket> {
  for (const endMs = performance.now() + 10_000; performance.now() < endMs; await Bun.sleep(20)) {
    const socket = connect({ host, port });
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (isOpen) return socket;
  }
  throw new Error(`there is no listener at ${host}:${port}`);
}

async function check(network: Network): Promise<Record<string, boolean[]>> {
  const { through, listen, port, address } = network.place("primary");
  const listener = Bun.spawn([...through, process.execPath, "-e", echo, String(port), listen], { stderr: "inherit" });
  try {
    (await connected(address, port)).destroy();
    const fromClients = await open(network.address("clients", "primary"));
    const fromEdge = await open(network.address("edge-a", "primary"));
    const lines = [fromClients, fromEdge];
    const areAnswered = (): boolean[] => lines.map(({ isAnswered }) => isAnswered);
    /** Waits for the answers over the lines that are not cut. Bytes that were held or lost arrive after the repair. */
    const answers = async (intact: readonly Line[]): Promise<boolean[]> => {
      for (const line of lines) line.send();
      for (const endMs = performance.now() + answerMsMax; performance.now() < endMs; await Bun.sleep(5))
        if (intact.every(({ isAnswered }) => isAnswered)) break;
      if (intact.length < lines.length) await Bun.sleep(silenceMs);
      return areAnswered();
    };
    const during = async (side: Side, intact: Line): Promise<boolean[]> => {
      await network.cut("primary", side);
      const answered = await answers([intact]);
      await network.mend("primary", side);
      return answered;
    };
    const seen = {
      before: await answers(lines),
      clientsCut: await during("clients", fromEdge),
      clientsMended: await answers(lines),
      clusterCut: await during("cluster", fromClients),
      clusterMended: await answers(lines),
    };
    const others = network.kind === "namespaces" ? await cutBetween(network) : {};
    fromClients.close();
    fromEdge.close();
    return { ...seen, ...others };
  } finally {
    listener.kill("SIGKILL");
    await listener.exited;
  }
}

/** Whether a connection succeeds from one host, which may be cut off, and from another. */
async function reach(network: Network, isCut: boolean): Promise<boolean[]> {
  const attempts = (["edge-a", "edge-b"] as const).map((from) => {
    const withinMs = isCut && from === "edge-a" ? silenceMs : answerMsMax;
    const [host, port] = network.address(from, "primary").split(":") as [string, string];
    const { through } = network.place(from);
    return Bun.spawn([...through, process.execPath, "-e", knock, port, host, String(withinMs)], { stderr: "inherit" })
      .exited;
  });
  return (await Promise.all(attempts)).map((status) => status === 0);
}

async function cutBetween(network: Network): Promise<Record<string, boolean[]>> {
  await network.cutBetween("primary", "edge-a");
  const edgeCut = await reach(network, true);
  await network.mendBetween("primary", "edge-a");
  return { edgeCut, edgeMended: await reach(network, false) };
}

const kind = must(process.argv[2]);
if (kind === "namespaces" && !isInside()) process.exit(await inNamespace());
const network = kind === "namespaces" ? openNamespaces(hosts) : await openProxies(hosts);
process.stdout.write(JSON.stringify(await check(network)));
await network.close();
process.exit(0);
