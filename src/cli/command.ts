/** What the files of the command line share. */
import type { Command } from "commander";

/** 0: done, 1: it did not work out or found problems, 2: it was called wrongly. */
export type ExitStatus = 0 | 1 | 2;

/** How a command adds itself to the program; `finish` takes its exit status where that is not 0. */
export type AddCommand = (program: Command, finish: (status: ExitStatus) => void) => void;

/** Called wrongly: the message says what is wrong and what would be right. Ends with status 2. */
export class UsageError extends Error {}
