/** A node's data into one file: from its data directory, whether it runs or not, or from a running node over its API. */
import type { Command } from "commander";
import type { Limits } from "../config/limits.ts";
import { backUp, copyTo, type BackupOptions } from "../replication/backup.ts";
import { downloadSnapshot } from "../replication/snapshot-download.ts";
import { print, printError } from "../runtime/process.ts";
import { presentStore } from "../store/data-directory.ts";
import type { Snapshot } from "../store/snapshot.ts";
