/**
 * Downloads of snapshots over connections that break, from senders that have a new snapshot meanwhile, and requests for
 * ranges.
 */
import * as Bun from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { connectNode, type NodeClient } from "../../src/replication/transport/node-client.ts";
import { HistoryGuard } from "../../src/replication/history-guard.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { fetchSnapshot } from "../../src/replication/snapshots/install-snapshot.ts";
import { logProgress } from "../../src/replication/transport/snapshot-download.ts";
import { streamFile } from "../../src/replication/snapshots/snapshot-server.ts";
import { realSystem } from "../../src/replication/system.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { nodeKeyHashesIn } from "../../src/store/keys/node-keys.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import {
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  reader,
  refusal,
  positionOf,
  untraced,
  withCluster,
  type Cluster,
  type Running,
} from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";

// Each snapshot starts threads, which is slow on a busy machine.
setDefaultTimeout(120_000);

const accepted = (): void => {};
const authorization = { Authorization: `Bearer ${nodeKey}` };

/** A primary whose snapshot has some hundred kilobytes. */
async function largePrimary(cluster: Cluster): Promise<Running<PrimaryNode>> {
  const primary = await cluster.primary({ "advanced.snapshotReuseMs": "1ms" });
  await loadPolicy(primary.node);
  for (let batch = 0; batch < 10; batch++) {
    const inserts = Array.from({ length: 900 }, (_, index) => reader(hashKey(`${batch}-${index}`), `r-${index}`));
    await primary.node.writes.batch([{ inserts }], untraced);
  }
  return primary;
}

interface Line {
  readonly url: string;
  readonly client: NodeClient;
  /** The Range headers of the requests, if any. */
  readonly ranges: (string | undefined)[];
  /** How many bytes of an answer pass before the connection breaks, for each request. */
  cutAfter: number;
}

/** A proxy to the primary that can be cut: it passes bytes in both directions, and ends connections without notice. */
async function withLine(primary: { readonly url: string }, body: (line: Line) => Promise<void>): Promise<void> {
  const open = new Set<Socket>();
  const ranges: (string | undefined)[] = [];
  const server = createServer((near) => {
    const far = connect(Number(new URL(primary.url).port), "127.0.0.1");
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        near.destroy();
        far.destroy();
      });
    }
    let passed = 0;
    near.on("data", (bytes) => {
      passed = 0;
      ranges.push(/^range: *(.*?)\r$/im.exec(bytes.toString("latin1"))?.[1]);
      far.write(bytes);
    });
    far.on("data", (bytes: Buffer) => {
      const rest = Math.max(0, line.cutAfter - passed);
      passed += bytes.length;
      if (bytes.length <= rest) near.write(bytes);
      else {
        near.write(bytes.subarray(0, rest));
        far.pause();
        // A client that notices the end first drops what it has not read yet.
        setTimeout(() => near.destroy(), 100);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const client = connectNode(
    { url, ackName: () => "test", nodeKey, logTimeoutMs: 60_000, snapshotTimeoutMs: 60_000 },
    realSystem,
  );
  const line: Line = { url, client, ranges, cutAfter: Number.POSITIVE_INFINITY };
  try {
    await body(line);
  } finally {
    client.close();
    for (const socket of open) socket.destroy();
    server.close();
  }
}

test("an interrupted download continues where it stopped", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    await withLine(primary, async (line) => {
      const target = join(cluster.directory, "incoming.zst");
      line.cutAfter = 60_000;
      await refusal(line.client.snapshot(target, undefined, accepted));
      const first = statSync(target).size;
      expect(first).toBeGreaterThan(50_000);
      await refusal(line.client.snapshot(target, undefined, accepted));
      const second = statSync(target).size;
      expect(second).toBeGreaterThan(first);
      line.cutAfter = Number.POSITIVE_INFINITY;
      const sizes: [number, number][] = [];
      const snapshot = await line.client.snapshot(target, undefined, accepted, (...now) => sizes.push(now));
      if (snapshot === "unchanged") throw new Error("nothing came");
      expect(line.ranges).toEqual([undefined, `bytes=${first}-`, `bytes=${second}-`]);
      expect(sizes.at(-1)).toEqual([snapshot.size, snapshot.size]);
      expect(must(sizes[0])[0]).toBeGreaterThan(second);
      const whole = await (await fetch(`${primary.url}/replication/v1/snapshot`, { headers: authorization })).bytes();
      expect(readFileSync(target).equals(whole)).toBe(true);
    });
  }));

test("also after the primary has made a new snapshot, but it starts again after two", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    await withLine(primary, async (line) => {
      const target = join(cluster.directory, "incoming.zst");
      const another = async (user: string): Promise<void> => {
        await insert(primary.node, user);
        // A snapshot of the last millisecond is served again.
        await eventually(async () => {
          const response = await fetch(`${primary.url}/replication/v1/snapshot`, { headers: authorization });
          await response.bytes();
          expect(response.headers.get("etag")).toContain(`-${primary.node.health().offset}-`);
        });
      };
      line.cutAfter = 60_000;
      await refusal(line.client.snapshot(target, undefined, accepted));
      const { offset } = primary.node.health();
      await another("ann");
      await refusal(line.client.snapshot(target, undefined, accepted));
      await another("bob");
      line.cutAfter = Number.POSITIVE_INFINITY;
      // One of the two cached snapshots is the one that was requested last, so it is still there.
      const older = await line.client.snapshot(target, undefined, accepted);
      expect(older).toMatchObject({ manifest: { offset } });
      truncateSync(target, 70_000);
      for (const user of ["cyd", "dan"]) await another(user);
      const newer = await line.client.snapshot(target, undefined, accepted);
      expect(newer).toMatchObject({ manifest: { offset: primary.node.health().offset } });
      expect(line.ranges.at(-1)).toBe("bytes=70000-");
      expect(readdirSync(join(primary.data, "snapshots"))).toHaveLength(2);
    });
  }));

test("what a node had downloaded before a stop is not downloaded again", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    await withLine(primary, async (line) => {
      line.cutAfter = 60_000;
      const first = await cluster.fallback(line, {
        "advanced.retryDelayMsMin": "1h",
        "advanced.retryDelayMsMax": "1h",
      });
      const partial = join(first.data, "incoming.zst");
      await eventually(() => expect(existsSync(partial) && statSync(partial).size > 50_000).toBe(true));
      await first.stop();
      const { size } = statSync(partial);
      line.cutAfter = Number.POSITIVE_INFINITY;
      const second = await cluster.fallback(line);
      await converged(second.node, primary.node);
      expect(line.ranges.slice(0, 2)).toEqual([undefined, `bytes=${size}-`]);
      expect(existsSync(partial)).toBe(false);
      expect(mayRead(second.node, "ann")).toBe(false);
    });
  }));

test("a restarted node serves the snapshots that it had made", () =>
  withCluster(async (cluster) => {
    const source = await largePrimary(cluster);
    // The start of a primary begins a term, so its earlier snapshots are not the newest any more.
    const start = () => cluster.edge("edge", source, { "advanced.snapshotReuseMs": "1ms" });
    const edge = await start();
    await converged(edge.node, source.node);
    const ask = async (running: Running<Node>, range: Record<string, string> = {}): Promise<Response> =>
      fetch(`${running.url}/replication/v1/snapshot`, { headers: { ...authorization, ...range } });
    const before = await ask(edge);
    const [tag, whole] = [must(before.headers.get("etag")), await before.bytes()];
    await edge.stop();
    const again = await start();
    const rest = await ask(again, { Range: "bytes=1000-", "If-Range": tag });
    expect(rest.status).toBe(206);
    expect(Buffer.from(whole.subarray(1000)).equals(await rest.bytes())).toBe(true);
    expect((await ask(again)).headers.get("etag")).toBe(tag);
    await again.stop();

    // Not if it was damaged meanwhile.
    const [name = ""] = readdirSync(join(again.data, "snapshots"));
    const path = join(again.data, "snapshots", name);
    writeFileSync(path, Buffer.from(whole).fill(0x5a, 5000, 5100));
    const third = await start();
    const fallback = await cluster.fallback(third);
    await converged(fallback.node, third.node);
    // And not if it was removed.
    rmSync(join(third.data, "snapshots"), { recursive: true });
    expect((await ask(third)).status).toBe(200);
  }));

test("ranges are served as requested", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    const ask = (headers: Record<string, string> = {}): Promise<Response> =>
      fetch(`${primary.url}/replication/v1/snapshot`, { headers: { ...authorization, ...headers } });
    const all = await ask();
    const tag = must(all.headers.get("etag"));
    const whole = Buffer.from(await all.bytes());
    expect(all.headers.get("accept-ranges")).toBe("bytes");
    const size = whole.length;
    for (const [range, first, last] of [
      ["bytes=0-", 0, size - 1],
      ["bytes=10-19", 10, 19],
      ["bytes=-5", size - 5, size - 1],
      [`bytes=${size - 1}-`, size - 1, size - 1],
      [`bytes=5-${size + 100}`, 5, size - 1],
    ] as const) {
      const part = await ask({ Range: range, "If-Range": tag });
      expect(part.status).toBe(206);
      expect(part.headers.get("content-range")).toBe(`bytes ${first}-${last}/${size}`);
      expect(Buffer.from(await part.bytes()).equals(whole.subarray(first, last + 1))).toBe(true);
    }
    // Out of bounds; an unsupported form; a range of another snapshot; no range.
    const beyond = await ask({ Range: `bytes=${size}-` });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, `bytes */${size}`]);
    for (const headers of [{ Range: "bytes=0-1,5-6" }, { Range: "lines=1-" }, { Range: "bytes=9-3" }])
      expect((await (await ask(headers)).bytes()).length).toBe(size);
    expect((await ask({ Range: "bytes=5-", "If-Range": '"another"' })).status).toBe(200);
    expect((await ask({ "If-None-Match": tag })).status).toBe(304);
    const { epoch, offset } = primary.node.health();
    expect((await ask({ "If-None-Match": `W/"${epoch}-${offset}-0123456789abcdef"` })).status).toBe(200);
  }));

test("a client that disconnects while the last chunk is read closes no other file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-stream-"));
  const path = join(directory, "small.zst");
  writeFileSync(path, "all of it");
  const taken = streamFile(path, 0, 8, () => {});
  const reader = taken.getReader();
  const piece = reader.read().catch(() => {});
  // The chunk is being read now.
  for (let turn = 0; turn < 3; turn++) await Promise.resolve();
  const left = reader.cancel();
  // The system reuses the descriptor of a closed file for the next one.
  const other = openSync(path, "r");
  try {
    await Promise.all([piece, left]);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    expect(fstatSync(other).size).toBe(9);
  } finally {
    closeSync(other);
    rmSync(directory, { recursive: true });
  }
});

test("damaged or useless data are not kept", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    const answers: ((bytes: Buffer) => Uint8Array)[] = [
      (bytes) => bytes.fill(0, 0, 4),
      (bytes) => bytes.fill(0x20, 20, 21),
      (bytes) => bytes.fill(0x5a, bytes.length >> 1, (bytes.length >> 1) + 1),
      (bytes) => Buffer.concat([bytes, Buffer.from("and more")]),
    ];
    let answer: (bytes: Buffer) => Uint8Array = (bytes) => bytes;
    const liar = Bun.serve({
      port: 0,
      async fetch() {
        const honest = await fetch(`${primary.url}/replication/v1/snapshot`, { headers: authorization });
        return new Response(answer(Buffer.from(await honest.bytes())));
      },
    });
    const url = `http://127.0.0.1:${liar.port}`;
    const client = connectNode(
      { url, ackName: () => "test", nodeKey, logTimeoutMs: 60_000, snapshotTimeoutMs: 60_000 },
      realSystem,
    );
    const { directory } = cluster;
    const common = { data: directory, environment: "test", limits: defaultLimits, system: realSystem };
    const guard = new HistoryGuard(directory, systemClock);
    const options = { primary: client, guard, nodeKeyHashes: nodeKeyHashesIn(nodeKey) };
    for (answer of answers) {
      await refusal(fetchSnapshot(common, options));
      expect(readdirSync(directory)).toEqual(["primary"]);
    }
    answer = (bytes) => bytes;
    const foreign = await refusal(fetchSnapshot({ ...common, environment: "other" }, options));
    expect(foreign.message).toContain("the data belongs to environment `test`");
    expect(readdirSync(directory)).toEqual(["primary"]);

    // Damage by a power failure shows at the beginning or at the end of the partial file.
    for (const rest of [Buffer.alloc(5000), Buffer.from("junk")]) {
      writeFileSync(join(directory, "incoming.zst"), rest);
      const installed = await fetchSnapshot(common, options);
      if (installed === "unchanged") throw new Error("nothing came");
      expect(installed.path).toBe(must(currentStorePath(directory)));
      const store = openStore(installed.path, { readonly: true });
      const { epoch, offset, digest } = readState(store);
      store.close();
      expect({ epoch, offset, digest }).toEqual(positionOf(primary.node) as never);
    }
    client.close();
    await liar.stop(true);
  }));

test("an error in a partial file costs one more download, and no wrong answer", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    await withLine(primary, async (line) => {
      const { directory } = cluster;
      const context = { environment: "test", data: directory, limits: defaultLimits, system: realSystem };
      const options = {
        primary: line.client,
        guard: new HistoryGuard(directory, systemClock),
        nodeKeyHashes: nodeKeyHashesIn(nodeKey),
      };
      const partial = join(directory, "incoming.zst");
      await line.client.snapshot(partial, undefined, accepted);
      writeFileSync(partial, readFileSync(partial).subarray(0, 60_000).fill(0x5a, 30_000, 30_010));
      expect((await refusal(fetchSnapshot(context, options))).message).toContain("SHA-256 differs");
      expect(existsSync(partial)).toBe(false);
      expect(await fetchSnapshot(context, options)).toMatchObject({ state: positionOf(primary.node) });
      expect(line.ranges.at(-1)).toBeUndefined();
    });
  }));

test("a snapshot that was complete when the node died is not downloaded again", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    await withLine(primary, async (line) => {
      const { directory } = cluster;
      const partial = join(directory, "incoming.zst");
      await line.client.snapshot(partial, undefined, accepted);
      const { size } = statSync(partial);
      const context = { environment: "test", data: directory, limits: defaultLimits, system: realSystem };
      const options = {
        primary: line.client,
        guard: new HistoryGuard(directory, systemClock),
        nodeKeyHashes: nodeKeyHashesIn(nodeKey),
      };
      expect(await fetchSnapshot(context, options)).toMatchObject({ state: positionOf(primary.node) });
      expect(line.ranges).toEqual([undefined, `bytes=${size}-`]);
    });
  }));

test("progress is logged from time to time, and counted", () =>
  withCluster(async (cluster) => {
    const primary = await largePrimary(cluster);
    const counts = async (): Promise<readonly number[]> => {
      const text = await renderMetrics();
      const count = (direction: string): number =>
        Number(new RegExp(`^ostiary_snapshot_bytes_total.direction="${direction}". (.*)$`, "m").exec(text)?.[1] ?? 0);
      return [count("sent"), count("received")];
    };
    await withLine(primary, (line) =>
      withCapturedLog(async (lines) => {
        const before = await counts();
        const target = join(cluster.directory, "incoming.zst");
        const snapshot = await line.client.snapshot(target, undefined, accepted, logProgress(0));
        if (snapshot === "unchanged") throw new Error("nothing came");
        const { size } = snapshot;
        expect(await counts()).toEqual(before.map((count) => count + size));
        expect(lines.at(-1)).toMatch(/snapshot: fetching a snapshot: 100 %, 0\.\d of 0\.\d MB/);
      }, "info"),
    );
  }));
