/**
 * A fallback: the last resort beside the application. It fetches verified snapshots on a timer, keeps the last one on disk, and answers from it
 * whoever else is gone. It never waits and never writes; it only says how old its copy is.
 */
import { z } from "zod";
import type { Config } from "../config/config.ts";
import {
  lockDirectory,
  presentStore,
  readNote,
  removeOldStores,
  setAside,
  writeNote,
} from "../store/data-directory.ts";
import { snapshotTag } from "../store/snapshot.ts";
import { requireEnvironment, type State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { must } from "../util/assert.ts";
import { AppError } from "../util/app-error.ts";
import { Copy } from "./copy.ts";
import { nodeIdOf } from "./identity.ts";
import { fetchSnapshot } from "./install-snapshot.ts";
import type { Node } from "./node.ts";
import { parseToken } from "./position.ts";
import { connectPrimary } from "./primary-client.ts";
import { checkStoreAside } from "./snapshot-jobs.ts";

const log = getLogger("fallback");

/** What is kept beside the copy: which snapshot it is, and when it was last known to be the newest. */
const noteSchema = z.object({ tag: z.string(), confirmedMs: z.number() });
type SnapshotNote = z.infer<typeof noteSchema>;
const noteName = "snapshot.json";

export async function startFallbackNode(config: Config): Promise<Node> {
  const { limits, environment, data } = config;
  const directory = lockDirectory(data);
  const id = nodeIdOf(config);
  const copy = new Copy(data, limits);
  const primary = connectPrimary({
    url: must(config.primary, "a fallback has a primary"),
    nodeKey: must(config.nodeKey, "a fallback has a node key"),
    timeoutMs: limits.replicationTimeoutMs,
  });
  let state: State | undefined;
  let note: SnapshotNote | undefined;

  const sound = await soundStore(data, environment);
  if (sound !== undefined) {
    state = copy.open(sound);
    const known = readSnapshotNote(data);
    note = known?.tag === snapshotTag(state) ? known : undefined;
  }
  writeNote(data, "role", "fallback");

  const refresh = async (): Promise<void> => {
    const fetched = await fetchSnapshot({ primary, directory: data, environment, limits }, note?.tag);
    if (fetched !== "unchanged") state = copy.open(fetched.path);
    note = { tag: snapshotTag(must(state)), confirmedMs: Date.now() };
    writeNote(data, noteName, JSON.stringify(note));
  };
  const timer = repeat(refresh, config, () => copy.ready);

  return {
    role: "fallback",
    id,
    environment,
    engine: () => copy.engine(),
    writes: undefined,
    forward: undefined,
    // A token of a position that this copy does not contain is no reason to be silent when everything else is gone.
    async waitFor(token) {
      parseToken(token);
    },
    health: () => ({
      ok: copy.ready,
      role: "fallback",
      state: copy.ready ? "SNAPSHOT" : "BOOTSTRAP",
      epoch: state?.epoch ?? null,
      offset: state?.offset ?? null,
      digest: state?.digest ?? null,
      ageMs: state === undefined ? null : Math.max(0, Date.now() - (note?.confirmedMs ?? state.timeMs)),
      feedConnected: false,
    }),
    replication: () => undefined,
    mqttConnection: undefined,
    async stop() {
      await timer.stop();
      copy.close();
      directory.unlock();
    },
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
      if (failures++ === 0) log.warning("fetching a snapshot failed, trying again: {error}", { error });
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

async function soundStore(data: string, environment: string): Promise<string | undefined> {
  removeOldStores(data);
  const path = presentStore(data);
  if (path === undefined) return undefined;
  try {
    requireEnvironment(await checkStoreAside(path), environment);
    return path;
  } catch (error) {
    if (error instanceof AppError && error.code === "conflict") throw error;
    log.error("the copy {path} is damaged and put aside as {aside}: {error}", { path, aside: setAside(path), error });
    return undefined;
  }
}

function readSnapshotNote(data: string): SnapshotNote | undefined {
  try {
    return noteSchema.parse(JSON.parse(readNote(data, noteName) ?? "null"));
  } catch {
    return undefined; // then its age is counted from its last event
  }
}
