/** What all commands share. Each start loads it, so it imports no settings. */
import type { Command } from "commander";

/** 0: success, 1: a failure, or problems in a policy, 2: wrong usage. */
export type ExitStatus = 0 | 1 | 2;

/** Adds a command to the program. The command calls `finish` with an exit status other than 0. */
export type AddCommand = (program: Command, finish: (status: ExitStatus) => void) => void;

/** Wrong usage, which ends with status 2. The message gives the correct usage. */
export class UsageError extends Error {}

/** `--help` shows the settings under this heading only with `--all`. */
export const advancedHeading = "Advanced:";

/** For a list, where a description has one line. */
export function firstSentence(description: string): string {
  return description.split(/\. |\n/)[0] ?? "";
}
