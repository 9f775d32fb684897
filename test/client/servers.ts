/** HTTP servers whose responses a test controls, and which record their requests. */
import * as Bun from "bun";
import { createServer, type Socket } from "node:net";

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
  /** Becomes true when the client has disconnected. */
  aborted: boolean;
}

export interface Server {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Gives the next responses. */
  answer: (asked: Asked) => Response | Promise<Response>;
  stop(): Promise<void>;
}

const running: { stop(): Promise<void> }[] = [];

export async function stopServers(): Promise<void> {
  await Promise.all(running.splice(0).map((server) => server.stop()));
}

/** Answers with its name. */
export const named = (name: string, status = 200) => Response.json({ name }, { status });

export function server(name: string, answer: Server["answer"] = () => named(name), port = 0): Server {
  const asked: Asked[] = [];
  const listener = Bun.serve({
    port,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { method, headers, url } = request;
      const { pathname, search } = new URL(url);
      const seen: Asked = { method, path: pathname + search, headers, body: await request.text(), aborted: false };
      request.signal.addEventListener("abort", () => (seen.aborted = true));
      asked.push(seen);
      return served.answer(seen);
    },
  });
  const served: Server = { url: listener.url.origin, asked, answer, stop: () => listener.stop(true) };
  running.push(served);
  return served;
}

/** Never answers. */
export const silent = (): Promise<Response> => new Promise(() => undefined);

/** A listener that handles each connection after its first bytes, and counts the connections with data. */
export async function rawServer(
  behave: (socket: Socket) => void,
): Promise<{ readonly url: string; readonly requests: () => number }> {
  let requests = 0;
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => {
      requests++;
      behave(socket);
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { readonly port: number };
  running.push({
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  });
  return { url: `http://127.0.0.1:${port}`, requests: () => requests };
}

/** The URL of a port without a listener. */
export async function deadUrl(): Promise<string> {
  const gone = server("gone");
  await gone.stop();
  return gone.url;
}
