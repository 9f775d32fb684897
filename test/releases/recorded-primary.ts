/** A primary of a release as other nodes know it: it gives them over HTTP what was recorded. Nothing of it is made up, so it answers no other position. */
import { readFileSync } from "node:fs";
import { readRelease, readReplication, recordedFile, type ServedResponse } from "./recorded.ts";

export class RecordedPrimary {
  readonly url: string;
  /** Undefined while it is not reached. */
  serves: ServedResponse | undefined;
  readonly #server: Bun.Server<undefined>;

  /** `change` is made to each JSON body, `snapshot` is given instead of the recorded one. */
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
