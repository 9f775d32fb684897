/** The entry points of the program's workers, relative to `src/`: every file whose name ends in `-worker.ts`. */
import * as Bun from "bun";
import { resolve } from "node:path";

const source = resolve(import.meta.dirname, "../src");

export const workerEntries: readonly string[] = [...new Bun.Glob("**/*-worker.ts").scanSync(source)].sort();
