/**
 * The program: hands its arguments to the command line and ends with the status that this gives. As a cell it starts nothing of that, since a
 * question may be waiting for it.
 */
import { workerProcessName, serveWorkerProcess } from "./runtime/worker-process.ts";

const cell = workerProcessName();
if (cell) await serveWorkerProcess(cell);
const { runCommandLine } = await import("./cli/cli.ts");
process.exit(await runCommandLine(process.argv.slice(2)));
