/** The platform Deno. */
import type { Platform } from "../platform.ts";
import { tlsFetchOptions, withSystemCode } from "./fetch.ts";
import { hmacWith, sha256Into } from "./hash.ts";
import { listen } from "./http-server.ts";
import { openLibc } from "./libc.ts";
import { openSqlite } from "./sqlite.ts";
import { startProcess, startThread } from "./workers.ts";

export const platform: Platform = {
  name: "Deno",
  version: Deno.version.deno,
  restriction: "Deno cannot compile this program into one file: use the built binary (scripts/build) for that",
  isCompiled: false,
  openSqlite,
  listen,
  // Its threads cannot share a port.
  spreadsConnections: false,
  reservePort: (_hostname, port) => port,
  verifiesClients: false,
  openLibc,
  sha256Into,
  hmacWith,
  tlsFetchOptions,
  withSystemCode,
  startThread,
  startProcess,
};
