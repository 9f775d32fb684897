/** The platform Bun. */
import type { Platform } from "../platform.ts";
import { tlsFetchOptions, withSystemCode } from "./fetch.ts";
import { hmacWith, sha256Into } from "./hash.ts";
import { listen, reservePort } from "./http-server.ts";
import { openLibc } from "./libc.ts";
import { openSqlite } from "./sqlite.ts";
import { isCompiled, startProcess, startThread } from "./workers.ts";

export const platform: Platform = {
  name: "Bun",
  version: Bun.version,
  restriction: null,
  isCompiled,
  openSqlite,
  listen,
  reservePort,
  // On other systems one thread would get all of them.
  spreadsConnections: process.platform === "linux",
  verifiesClients: true,
  openLibc,
  sha256Into,
  hmacWith,
  tlsFetchOptions,
  withSystemCode,
  startThread,
  startProcess,
};
