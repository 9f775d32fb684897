/**
 * The program: runs the command line and exits with its status. As a worker process it loads no part of the command
 * line, because a query may be waiting for it.
 */
import { serveWorkerProcess, workerProcessEntry } from "./runtime/worker-process.ts";

const entry = workerProcessEntry();
if (entry !== undefined) await serveWorkerProcess(entry);
const { runCommandLine } = await import("./cli/cli.ts");
process.exit(await runCommandLine(process.argv.slice(2)));
