/**
 * A fallback: the last resort beside the application. It fetches verified snapshots on a timer, keeps the last one on disk, and answers from it
 * whoever else is gone. It never waits and never writes; it only says how old its copy is.
 */
import type { Config } from "../config/config.ts";
import { lockDirectory, writeNote } from "../store/data-directory.ts";
import { snapshotTag } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { must } from "../util/assert.ts";
import { detailOf } from "../util/reason.ts";
import { Copy } from "./copy.ts";
import { nodeIdOf } from "./identity.ts";
import { storeToStartFrom } from "./import-snapshot.ts";
import { fetchSnapshot } from "./install-snapshot.ts";
import type { Node, NodeHealth } from "./node.ts";
import { connectPrimary } from "./primary-client.ts";
import { readSnapshotNote, writeSnapshotNote, type SnapshotNote } from "./snapshot-note.ts";

const log = getLogger("fallback");

export async function startFallbackNode(config: Config): Promise<Node> {
  const { limits, environment, data } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(data);
  started.defer(directory.unlock);
  const id = nodeIdOf(config);
  const copy = new Copy(data, limits);
  started.defer(() => copy.close());
  let state: State | undefined;
  let note: SnapshotNote | undefined;
  const sound = await storeToStartFrom(config);
  if (sound !== undefined) {
    state = copy.open(sound);
    const known = readSnapshotNote(data);
    note = known?.tag === snapshotTag(state) ? known : undefined;
  }
  writeNote(data, "role", "fallback");

  const primary = connectPrimary({
    url: must(config.primary, "a fallback has a primary"),
    nodeKey: must(config.nodeKey, "a fallback has a node key"),
    logTimeoutMs: limits.logTimeoutMs,
    snapshotTimeoutMs: limits.snapshotTimeoutMs,
  });
  const refresh = async (): Promise<void> => {
    const fetched = await fetchSnapshot({ primary, directory: data, environment, limits }, note?.tag);
    if (fetched !== "unchanged") state = copy.open(fetched.path);
    note = { tag: snapshotTag(must(state)), confirmedMs: Date.now() };
    writeSnapshotNote(data, note);
  };
  const timer = repeat(refresh, config, () => copy.ready);
  started.defer(() => timer.stop());
  started.defer(primary.close);

  const running = started.move();
  return {
    role: "fallback",
    id,
    environment,
    engine: () => copy.engine(),
    writes: undefined,
    forward: undefined,
    // A token of a position that this copy does not contain, or of whatever service is the primary, is no reason to be silent when everything
    // else is gone.
    async waitFor() {},
    health: () => healthOf(copy, state, note),
    replication: () => undefined,
    mqttConnection: undefined,
    stop: () => running.disposeAsync(),
  };
}

function healthOf(copy: Copy, state: State | undefined, note: SnapshotNote | undefined): NodeHealth {
  return {
    ok: copy.ready,
    role: "fallback",
    state: copy.ready ? "SNAPSHOT" : "BOOTSTRAP",
    epoch: state?.epoch ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    ageMs: state === undefined ? null : Math.max(0, Date.now() - (note?.confirmedMs ?? state.timeMs)),
    feedConnected: false,
  };
}

/** Runs it at once and then on the timer; after a failure sooner, and much sooner while there is no copy at all. Jitter keeps fleets apart. */
function repeat(
  refresh: () => Promise<void>,
  { refresh: intervalMs, limits }: Config,
  ready: () => boolean,
): { stop(): Promise<void> } {
  let failures = 0;
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const once = async (): Promise<void> => {
    try {
      await refresh();
      failures = 0;
    } catch (error) {
      if (failures++ === 0)
        log.warning("fetching a snapshot failed, trying again: {error}", { error: detailOf(error) });
    }
    if (stopped) return;
    const backOffMs = Math.min(limits.retryDelayMsMin * 2 ** failures, ready() ? intervalMs : limits.retryDelayMsMax);
    const delayMs = failures === 0 ? intervalMs : backOffMs;
    timer = setTimeout(() => (running = once()), delayMs * (0.9 + Math.random() / 5));
  };
  let running = once();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
