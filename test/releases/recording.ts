/** Sends requests to nodes, and records the responses. */
import type { NodeProcess } from "../../scripts/node-process.ts";
import { lastKey, type RecordedRequest } from "./history.ts";
import type { Exchange } from "./recorded.ts";

export class Recording {
  readonly written: Exchange[] = [];
  /** The first key that was made. */
  readKey = "";
  #lastKeyId = "";
  readonly #adminKey: string;

  constructor(adminKey: string) {
    this.#adminKey = adminKey;
  }

  async write(node: NodeProcess, requests: readonly RecordedRequest[]): Promise<void> {
    for (const request of requests) {
      const exchange = await this.#exchange(node, request);
      this.written.push(exchange);
      const { id, token } = exchange.answer as { readonly id?: string; readonly token?: string };
      if (id === undefined || token === undefined) continue;
      this.#lastKeyId = id;
      if (this.readKey === "") this.readKey = token;
    }
  }

  async ask(node: NodeProcess, requests: readonly RecordedRequest[]): Promise<Exchange[]> {
    const exchanges: Exchange[] = [];
    for (const request of requests) exchanges.push(await this.#exchange(node, request));
    return exchanges;
  }

  async #exchange({ url }: NodeProcess, request: RecordedRequest): Promise<Exchange> {
    const key = { admin: this.#adminKey, read: this.readKey, none: undefined }[request.key ?? "admin"];
    const response = await fetch(url + request.path.replace(lastKey, this.#lastKeyId), {
      method: request.method,
      headers: {
        "Content-Type": "application/json",
        ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
    return { ...request, status: response.status, answer: await response.json() };
  }
}
