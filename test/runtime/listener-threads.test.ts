import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { connect } from "node:net";
import type { WorkerChannel } from "../../src/runtime/platform.ts";
import { type ListenerThreads, spreadsConnections } from "../../src/runtime/listener-threads.ts";
import { type Listener, serve, type ServeOptions } from "../../src/runtime/serve.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../replication/cluster.ts";

const count = 2;
const threads: WorkerChannel[] = [];
const failures: string[] = [];
let answer: ServeOptions["fetch"] = () => new Response("main");
let listener: Listener;

function listen(port: number, changes: Partial<ListenerThreads> = {}, stopGraceMs = 5000): Listener {
  return serve({
    hostname: "127.0.0.1",
    port,
    fetch: (request, connections) => answer(request, connections),
    websocket: { path: "/echo", subprotocol: "mqtt", onConnection: (duplex) => void duplex.pipe(duplex) },
    stopGraceMs,
    threads: {
      count,
      entry: "../test/runtime/forwarding-worker.ts",
      onThread: (thread) => void threads.push(thread),
      onFailure: (reason) => void failures.push(reason.message),
      ...changes,
    },
  });
}

const own = spreadsConnections ? test : test.skip;

beforeAll(async () => {
  if (!spreadsConnections) return;
  listener = listen(0);
  await listener.ready;
});
afterAll(() => listener?.stop());
beforeEach(() => void (answer = () => new Response("main")));

/** Over a connection of its own, so that any thread can get it. */
async function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(listener.url + path, { ...init, headers: { ...init.headers, connection: "close" } });
}

async function namesOf(requests: number): Promise<Set<string>> {
  const responses = await Promise.all(Array.from({ length: requests }, () => get("/thread")));
  return new Set(await Promise.all(responses.map((response) => response.text())));
}

own("each thread gets connections, and hands over what it does not answer", async () => {
  expect((await namesOf(60)).size).toBe(count);
  expect(await (await get("/other")).text()).toBe("main");
});

own("a handed over request and its response are as they were sent", async () => {
  answer = async (request, connections) => {
    const { method, url } = request;
    const address = connections.addressOf(request);
    const body = { method, path: url.slice(listener.url.length), name: request.headers.get("x-name"), address };
    return Response.json({ ...body, text: await request.text() }, { status: 418, headers: { "X-Answer": "yes" } });
  };
  const init = { method: "PATCH", headers: { "X-Name": "ann" }, body: "ä".repeat(10) };
  const response = await get("/some//path?with=query", init);
  expect([response.status, response.headers.get("x-answer")]).toEqual([418, "yes"]);
  expect(response.headers.get("content-length")).not.toBeNull();
  const sent = { method: "PATCH", path: "/some//path?with=query", name: "ann", address: "127.0.0.1" };
  expect(await response.json()).toEqual({ ...sent, text: "ä".repeat(10) });
  const head = await get("/x", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([418, ""]);
});

own("the body of a request is read only if it is wanted", async () => {
  answer = async (request) => {
    if (request.headers.get("x-read") === null) return new Response("unread");
    let bytes = 0;
    for await (const piece of must(request.body)) bytes += piece.byteLength;
    return new Response(String(bytes));
  };
  const body = new Uint8Array(8 * 1024 * 1024);
  expect(await (await get("/", { method: "POST", body, headers: { "X-Read": "1" } })).text()).toBe(String(body.length));
  expect(await (await get("/", { method: "POST", body: "short" })).text()).toBe("unread");
});

own("a client that stops reading stops the response, and its end cancels it", async () => {
  let pulls = 0;
  let isCancelled = false;
  const piece = new Uint8Array(64 * 1024);
  answer = () =>
    new Response(
      new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            pulls += 1;
            controller.enqueue(piece);
          },
          cancel: () => void (isCancelled = true),
        },
        { highWaterMark: 0 },
      ),
    );
  const socket = connect(listener.port, "127.0.0.1");
  socket.write("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.pause();
  let before = -1;
  await eventually(async () => {
    const stopped = before === pulls;
    before = pulls;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(stopped && before === pulls).toBe(true);
  });
  // What the buffers of the system hold.
  expect(pulls * piece.length).toBeLessThan(64 * 1024 * 1024);
  socket.destroy();
  await eventually(() => expect(isCancelled).toBe(true));
});

own("an event stream arrives piece by piece", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  answer = () =>
    new Response(
      (async function* () {
        yield new TextEncoder().encode("data: 1\n\n");
        await promise;
        yield new TextEncoder().encode("data: 2\n\n");
      })() as unknown as ReadableStream,
      { headers: { "Content-Type": "text/event-stream" } },
    );
  const reader = must((await get("/events")).body).getReader();
  const decoder = new TextDecoder();
  expect(decoder.decode((await reader.read()).value)).toBe("data: 1\n\n");
  resolve();
  expect(decoder.decode((await reader.read()).value)).toBe("data: 2\n\n");
  expect((await reader.read()).done).toBe(true);
});

own("a response that cannot be completed is broken for the client", async () => {
  answer = () =>
    new Response(
      new ReadableStream<Uint8Array>({
        async pull(controller) {
          controller.enqueue(new Uint8Array(10));
          await new Promise((resolve) => setTimeout(resolve, 20));
          controller.error(new Error("broken"));
        },
      }),
    );
  await expect(get("/broken").then((response) => response.arrayBuffer())).rejects.toThrow();
});

own("a WebSocket is handed over", async () => {
  const socket = new WebSocket(`${listener.url.replace("http", "ws")}/echo`, "mqtt");
  socket.binaryType = "arraybuffer";
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  expect(socket.protocol).toBe("mqtt");
  const received: number[] = [];
  const all = new Promise<void>((resolve) => {
    let bytes = 0;
    socket.addEventListener("message", ({ data }: MessageEvent<ArrayBuffer>) => {
      received.push(...new Uint8Array(data).slice(0, 1));
      if ((bytes += data.byteLength) === 300_000) resolve();
    });
  });
  for (const first of [1, 2, 3]) socket.send(new Uint8Array(100_000).fill(first));
  await all;
  expect(new Set(received)).toEqual(new Set([1, 2, 3]));
  const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  socket.close();
  await closed;
  expect((await get("/other", { headers: { upgrade: "websocket" } })).status).toBe(200);
});

own("a thread that fails is replaced, and the others go on", async () => {
  const before = await namesOf(60);
  must(threads[0]).send("fail");
  await eventually(() => expect(failures.length).toBeGreaterThan(0));
  expect(await (await get("/other")).text()).toBe("main");
  await eventually(async () => {
    const after = await namesOf(60);
    expect(after.size).toBe(count);
    expect(after.difference(before).size).toBe(1);
  });
  expect(threads).toHaveLength(count + 1);
});

own("the port belongs to this listener alone", () => {
  expect(() => listen(listener.port)).toThrow("another program uses this port");
  expect(() => serve({ hostname: "127.0.0.1", port: listener.port, fetch: () => new Response() })).toThrow(
    "another program uses this port",
  );
});

own("a stop waits for the requests in flight", async () => {
  const other = listen(0);
  await other.ready;
  const { promise, resolve } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  answer = async () => {
    arrive();
    await promise;
    return new Response("late");
  };
  const response = fetch(`${other.url}/slow`);
  await arrived;
  const stopped = other.stop();
  resolve();
  expect(await (await response).text()).toBe("late");
  await stopped;
  await expect(fetch(other.url)).rejects.toThrow();
});

own("a thread that hangs does not keep the listener from its end", async () => {
  const hanging: WorkerChannel[] = [];
  const other = listen(0, { onThread: (thread) => void hanging.push(thread) }, 100);
  await other.ready;
  must(hanging[0]).send("hang");
  await other.stop();
  await expect(fetch(other.url)).rejects.toThrow();
});

own("threads that cannot start are an error of the start, and leave nothing behind", async () => {
  const broken = listen(0, { entry: "../test/runtime/missing-worker.ts" });
  await expect(broken.ready).rejects.toThrow(`can't listen on 127.0.0.1:0`);
  const { port } = broken;
  await eventually(async () => {
    const next = listen(port);
    await next.ready;
    await next.stop();
  });
});
