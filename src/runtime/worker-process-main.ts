/** The program of worker processes that run from source. The compiled program starts itself instead. */
import { must } from "../util/assert.ts";
import { serveWorkerProcess, workerProcessEntry } from "./worker-process.ts";

await serveWorkerProcess(must(workerProcessEntry()));
