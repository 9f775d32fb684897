/**
 * A primary of a release, as other nodes see it: it serves the recorded responses over HTTP. It knows no other
 * positions.
 */
import * as Bun from "bun";
import { readFileSync } from "node:fs";
import { readRelease, readReplication, recordedFile, type ServedResponse } from "./recorded.ts";

export class RecordedPrimary {
  readonly url: string;
  /** Undefined while it is unreachable. */
  serves: ServedResponse | undefined;
  readonly #server: Bun.Server<undefined>;

  /** `change` is applied to each JSON body; `snapshot` replaces the recorded one. */
  constructor(
    version: string,
    change: (body: string) => string = (body) => body,
    snapshot: Uint8Array = readFileSync(recordedFile(version, "feed.snapshot")),
  ) {
    const { nodeKey } = readRelease(version);
    const { snapshotTag, before } = readReplication(version);
    this.serves = before;
    const json = (body: string): Response =>
      new Response(change(body), { headers: { "Content-Type": "application/json" } });
    const answer = ({ head, pages }: ServedResponse, { pathname, searchParams }: URL): Response => {
      const page = pages[searchParams.get("after") ?? ""];
      switch (pathname) {
        case "/replication/v1/head":
        case "/replication/v1/primary":
          return json(head);
        case "/replication/v1/log":
          return page === undefined ? new Response("not recorded", { status: 503 }) : json(page);
        case "/replication/v1/snapshot":
          return new Response(snapshot, { headers: { ETag: snapshotTag, "Content-Type": "application/zstd" } });
        default:
          return new Response("not recorded", { status: 404 });
      }
    };
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url, headers }) => {
        if (headers.get("authorization") !== `Bearer ${nodeKey}`) return new Response("", { status: 401 });
        return this.serves === undefined
          ? new Response("not reached", { status: 503 })
          : answer(this.serves, new URL(url));
      },
    });
    this.url = `http://127.0.0.1:${this.#server.port}`;
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
  }
}
