import * as Bun from "bun";
import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, openSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import process from "node:process";
import type { Duplex } from "node:stream";
import { WebSocket as WsClient } from "ws";
import { descriptorLimit } from "../../src/runtime/accepted-connections.ts";
import { serve, type Listener, type ServeOptions } from "../../src/runtime/serve.ts";
import { findProgram } from "../e2e/program.ts";
import { eventually } from "../replication/cluster.ts";

const running: Listener[] = [];

function listen(options: Partial<ServeOptions>): Listener {
  const listener = serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("ok"), ...options });
  running.push(listener);
  return listener;
}

afterEach(async () => {
  for (const listener of running.splice(0)) await listener.stop();
});

describe("the listener", () => {
  test("listens on the port that it reports", async () => {
    const listener = listen({});
    expect(listener.port).toBeGreaterThan(0);
    expect(await (await fetch(listener.url)).text()).toBe("ok");
  });

  test("explains that its port is taken, or that the address does not belong to this machine", () => {
    // By default Bun would share the port with another listener of this kind.
    const { port } = listen({});
    expect(() => listen({ port })).toThrow(`can't listen on 127.0.0.1:${port}: another program uses this port`);
    const elsewhere = "can't listen on 192.0.2.1:0: this machine does not have this address";
    expect(() => listen({ hostname: "192.0.2.1" })).toThrow(elsewhere);
  });

  test("shows no details of an uncaught error", async () => {
    const listener = listen({
      fetch: () => {
        throw new Error("password in /etc/secret");
      },
    });
    const response = await fetch(listener.url);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('{"message":"internal error","code":"internal"}');
  });

  test("rejects a body over its limit", async () => {
    const listener = listen({ bodyBytesMax: 1000, fetch: async (request) => new Response(await request.text()) });
    const response = await fetch(listener.url, { method: "POST", body: "x".repeat(2000) });
    expect(response.status).toBe(413);
  });

  test("finishes a request in flight while it stops, and accepts no new one", async () => {
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const listener = listen({
      stopGraceMs: 60_000,
      fetch: async () => {
        started.resolve();
        await finish.promise;
        return new Response("finished");
      },
    });
    const slow = fetch(listener.url);
    await started.promise;
    const stopped = listener.stop();
    expect(await fetch(listener.url).catch(() => "refused")).toBe("refused");
    finish.resolve();
    expect(await (await slow).text()).toBe("finished");
    await stopped;
  });

  test("closes a connection on demand, even if its peer reads nothing", async () => {
    const closed = async (hostname: string): Promise<void> => {
      const cancelled = Promise.withResolvers<void>();
      let cut = (): void => {};
      const piece = new Uint8Array(1024 * 1024);
      let sent = 0;
      const listener = listen({
        hostname,
        fetch: (request, connections) => {
          cut = () => connections.close(request);
          const body = new ReadableStream({
            pull(controller) {
              sent++;
              controller.enqueue(piece);
            },
            cancel: () => cancelled.resolve(),
          });
          return new Response(body);
        },
      });
      const socket = connect(listener.port, hostname === "::" ? "127.0.0.1" : hostname, () =>
        socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      );
      socket.on("error", () => {}).pause();
      // The peer and the system buffer some pieces.
      for (let before = -1; sent === 0 || sent !== before; await Bun.sleep(20)) before = sent;
      cut();
      await cancelled.promise;
      socket.destroy();
    };
    // Each takes some seconds, in which nothing happens.
    await Promise.all(["127.0.0.1", "::1", "::"].map(closed));
  }, 120_000);

  test("does not wait for ever for a hanging request", async () => {
    const started = Promise.withResolvers<void>();
    const listener = listen({
      stopGraceMs: 50,
      fetch: () => {
        started.resolve();
        return new Promise<Response>(() => {});
      },
    });
    const hanging = fetch(listener.url).catch(() => "cut");
    await started.promise;
    await listener.stop();
    expect(await hanging).toBe("cut");
  });

  test.skipIf(findProgram("prlimit") === null).each(["stops", "stops immediately"])(
    "accepts connections again after it had no free file descriptor, and %s (skipped without prlimit)",
    async (how) => {
      const listener = listen({});
      const limit = (soft: number): void => {
        const { success } = Bun.spawnSync(["prlimit", "--pid", String(process.pid), `--nofile=${soft}:`]);
        expect(success).toBe(true);
      };
      const before = descriptorLimit() ?? 1024;
      limit(Math.max(...readdirSync("/proc/self/fd").map(Number)) + 20);
      const held: number[] = [];
      expect(() => {
        for (;;) held.push(openSync("/dev/null", "r"));
      }).toThrow("EMFILE");
      // One for the client, none to accept it.
      closeSync(held.pop() ?? 0);
      const refused = connect(listener.port, "127.0.0.1").on("error", () => {});
      // Several attempts to accept the connection fail.
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
      for (const descriptor of held) closeSync(descriptor);
      refused.destroy();
      limit(before);
      if (how === "stops")
        await eventually(async () => expect(await statusLine(listener.port)).toBe("HTTP/1.1 200 OK"));
      await listener.stop();
      expect(await statusLine(listener.port)).toBe("ECONNREFUSED");
    },
  );
});

/** The first line of the response over a connection of its own, or the code of the error. */
function statusLine(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
    socket.once("data", (data) => {
      resolve(data.toString().split("\r\n")[0]);
      socket.destroy();
    });
  });
}

describe("a WebSocket", () => {
  const withEcho = (onConnection: (duplex: Duplex) => void): Listener =>
    // A stop that waits for the connection would not end.
    listen({ stopGraceMs: 600_000, websocket: { path: "/mqtt", subprotocol: "mqtt", onConnection } });

  test("is a stream in both directions and confirms the subprotocol", async () => {
    const listener = withEcho((duplex) => duplex.pipe(duplex));
    const client = new WsClient(`${listener.url.replace("http", "ws")}/mqtt`, ["mqtt"]);
    const received: Buffer[] = [];
    const size = 300_000;
    await new Promise<void>((resolve, reject) => {
      client.on("error", reject);
      client.on("open", () => {
        for (let sent = 0; sent < size; sent += 1000) client.send(Buffer.alloc(1000, sent / 1000));
      });
      client.on("message", (data: Buffer) => {
        received.push(data);
        if (received.reduce((sum, part) => sum + part.byteLength, 0) === size) resolve();
      });
    });
    expect(client.protocol).toBe("mqtt");
    const all = Buffer.concat(received);
    for (let at = 0; at < size; at += 1000) expect(all[at]).toBe((at / 1000) % 256);
    client.close();
  });

  test("ends with the client, and the client's connection ends with the stream", async () => {
    const connections: Duplex[] = [];
    const gone = Promise.withResolvers<void>();
    const listener = withEcho((duplex) => {
      connections.push(duplex);
      duplex.once("close", () => gone.resolve());
      duplex.resume();
    });
    const address = `${listener.url.replace("http", "ws")}/mqtt`;
    const leaving = new WsClient(address, ["mqtt"]);
    await new Promise<void>((resolve) => leaving.on("open", () => resolve()));
    leaving.terminate();
    await gone.promise;

    const dropped = new WsClient(address, ["mqtt"]);
    const closed = new Promise<void>((resolve) => dropped.on("close", () => resolve()));
    await new Promise<void>((resolve) => dropped.on("open", () => resolve()));
    connections[1]?.destroy();
    await closed;
  });

  test("closes when the listener stops", async () => {
    const listener = withEcho((duplex) => duplex.resume());
    const client = new WsClient(`${listener.url.replace("http", "ws")}/mqtt`, ["mqtt"]);
    await new Promise<void>((resolve) => client.on("open", () => resolve()));
    const closed = new Promise<void>((resolve) => client.on("close", () => resolve()));
    await listener.stop();
    await closed;
  });

  test("loses its connection after it was closed, even if its peer does not answer that", async () => {
    const opened = Promise.withResolvers<Duplex>();
    const listener = withEcho(opened.resolve);
    const socket = connect(listener.port, "127.0.0.1").on("data", () => {});
    const ended = new Promise((resolve) => socket.once("close", resolve));
    const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    socket.write(`GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${key}\r\n\r\n`);
    (await opened.promise).destroy();
    await ended;
  }, 120_000);

  test("without a key is refused", async () => {
    const listener = withEcho((duplex) => duplex.resume());
    const socket = connect(listener.port, "127.0.0.1");
    socket.write("GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    const received = await new Promise<string>((resolve) => socket.once("data", (data) => resolve(String(data))));
    expect(received).toStartWith("HTTP/1.1 426 ");
    socket.destroy();
  });

  test("is accepted on its own path only", async () => {
    const listener = withEcho((duplex) => duplex.resume());
    const client = new WsClient(`${listener.url.replace("http", "ws")}/other`, ["mqtt"]);
    const outcome = await new Promise<string>((resolve) => {
      client.on("error", (error) => resolve(error.message));
      client.on("open", () => resolve("open"));
    });
    expect(outcome).not.toBe("open");
  });
});
