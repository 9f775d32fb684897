/**
 * A program that starts a worker process, keeps it busy with one long statement of SQLite, and waits to be killed. Its
 * argument is the folder for its store.
 */
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import type { WorkerCommands } from "../../src/engine/workers/engine-worker.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { engineWorker } from "../../src/engine/workers/worker-pool.ts";
import { spawnWorkerProcess } from "../../src/runtime/worker-process.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { insertion } from "../cases/engine-target.ts";

const crowd = 60;
const person = (index: number) => ({ type: "User", id: String(index) });
const knows = Array.from({ length: crowd ** 2 }, (_, index) => ({
  predicate: "knows",
  args: [person(index % crowd), person(Math.floor(index / crowd))],
}));
const source = `actor User {} resource Doc { permissions = ["read"]; }
  has_permission(user: User, "read", doc: Doc) if
    knows(user, a) and knows(b, c) and knows(d, e) and knows(a, b) and knows(c, d) and vouches(e, doc);`;
const doc = { type: "Doc", id: "1" };
const storePath = join(String(process.argv[2]), "store.db");
const store = openStore(storePath);
createState(store, "test", "test");
const effects = [
  { kind: "policy" as const, id: 1, source, filename: null },
  insertion([...knows, { predicate: "vouches", args: [person(-1), doc] }]),
];
for (const [index, effect] of effects.entries())
  store.transaction(() => applyEvent(store, { offset: index + 1, timeMs: 0, traceparent: null, effect }));
store.close();

const { worker } = spawnWorkerProcess<WorkerCommands>(engineWorker);
await worker.call("openEngine", { limits: defaultLimits, storePath });
const question = { actor: person(0), action: "read", resource: doc, contextFacts: [] };
void worker.call("answer", { kind: "authorize", question, limits: defaultLimits, storePath });
process.stdout.write("busy\n");
await new Promise(() => setInterval(() => {}, 1000));
