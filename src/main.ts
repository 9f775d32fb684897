/** The program: hands its arguments to the command line and ends with the status that this gives. */
import { runCommandLine } from "./cli/cli.ts";

process.exit(await runCommandLine(process.argv.slice(2)));
