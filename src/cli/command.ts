/** The types that all commands share. */
import type { Command } from "commander";

/** 0: success, 1: a failure, or problems in a policy, 2: wrong usage. */
export type ExitStatus = 0 | 1 | 2;

/** Adds a command to the program. The command calls `finish` with an exit status other than 0. */
export type AddCommand = (program: Command, finish: (status: ExitStatus) => void) => void;

/** Wrong usage, which ends with status 2. The message gives the correct usage. */
export class UsageError extends Error {}
