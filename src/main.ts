/**
 * The program: hands its arguments to the command line and ends with the status that this gives. As a cell it starts nothing of that, since a
 * question may be waiting for it.
 */
import { cellArgument, serveCell } from "./runtime/cell.ts";

const [first, ...others] = process.argv.slice(2);
if (first === cellArgument) await serveCell(others[0]);
const { runCommandLine } = await import("./cli/cli.ts");
process.exit(await runCommandLine(process.argv.slice(2)));
