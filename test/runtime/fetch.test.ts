import { expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { fetch } from "../../src/runtime/fetch.ts";

test("the error of a request has the code of the system, and its message names the reason", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.destroy())).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const failure = (): Promise<unknown> => fetch(url, { signal: AbortSignal.timeout(5000) }).catch((error) => error);
  expect(await failure()).toMatchObject({ code: "ECONNRESET", message: expect.stringMatching(/closed/) });
  server.close();
  await once(server, "close");
  expect(await failure()).toMatchObject({ code: "ECONNREFUSED", message: expect.stringMatching(/connect/i) });
});
